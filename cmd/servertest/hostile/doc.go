// Package hostile surrounds one well-behaved client by many that are not, and
// checks that it is served as if it were alone, and that the server's memory stays bounded. And it gives RESTORE, and the loading of files, damaged
// values of every kind.
package hostile
