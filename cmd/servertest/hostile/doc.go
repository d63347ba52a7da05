// Package hostile surrounds one well-behaved client by many that are not, and
// checks that it is served as if it were alone, and that the server's memory stays bounded.
package hostile
