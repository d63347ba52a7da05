// Package servertest starts real servers as processes and talks to them, for
// tests and benchmarks that treat a server as its users do: by its command
// line, its socket, its directory and its signals.
//
// The server under test is tidemark, built once per test binary from this
// module (with the race detector when the test binary has it), or the program
// that TIDEMARK_BIN names. The reference is the redis-server in PATH; a test
// that needs it fails loudly where there is none, because a comparison
// that was not made must not look like one that succeeded.
//
// Words used throughout:
//
//	server     a running process, its data directory and its log (Server)
//	client     one connection speaking RESP2 or RESP3, not safe for concurrent use (Client)
//	reply      one parsed RESP value (Reply)
//	canonical  the one-line text form of a reply (Reply.String), which scripts
//	           and failure messages show and comparisons use
package servertest
