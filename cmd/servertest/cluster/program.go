// Package cluster runs several servers that replicate from each other, over links
// that fail on demand, for tests of replication: any program in any part.
//
//	program  a server binary and how it is started (Redis, Tidemark)
//	node     one server with its directory, alive or not, and whom it follows (Node)
//	fabric   what the links between nodes are made of: namespaces or proxies (Fabric)
//	fault    what is wrong with the link between a replica and its primary (Fault)
//	state    everything observable of a server's data, in a form that compares (State)
//
// The test's own connections to a node never pass the faulty links.
package cluster

import "tidemark/cmd/servertest"

// Program is a server program that can be primary and replica.
type Program struct {
	Name string
	Path func() (string, error)
	Args []string            // directives that it always gets
	Vary map[string][]string // directives that change nothing of what is promised, and values of them to choose from
	// KeepsOffset: a restart on the same log goes on at the same offset, as the same history.
	KeepsOffset bool
	// WaitAOF: it has the command.
	WaitAOF bool
	// AppendsFirst: a reply says that the write is in the log's file (not on the disk), under every policy.
	AppendsFirst bool
	// HidesOverflow: a BITFIELD whose changes all fail by OVERFLOW FAIL lengthens the string and is neither replicated nor logged.
	HidesOverflow bool
	// FieldExpiry: it knows fields of hashes that expire, as of Redis 7.4.
	FieldExpiry func() bool
}

// common are directives that make replication quick to fail and to come back.
var common = []string{"--save", "", "--protected-mode", "no", "--auto-aof-rewrite-percentage", "0",
	"--repl-diskless-sync-delay", "0", "--repl-timeout", "4", "--repl-ping-replica-period", "1",
	// A replica that was fed nothing because its link was bad is told to start over rather early.
	"--client-output-buffer-limit", "replica 64mb 32mb 10"}

// Redis is the redis-server in PATH, as of 7.0 or later.
var Redis = Program{Name: "redis", Path: servertest.RedisBinary,
	Args: append([]string{"--enable-debug-command", "yes"}, common...), HidesOverflow: true,
	FieldExpiry: func() bool {
		has, err := servertest.RedisIsAtLeast("7.4")
		return err == nil && has // without redis-server nothing starts
	},
	Vary: map[string][]string{
		"repl-diskless-sync": {"yes", "no"},
		"repl-diskless-load": {"disabled", "swapdb"},
	}}

// Tidemark is the server under test.
var Tidemark = Program{Name: "tidemark", Path: servertest.Binary, Args: common,
	KeepsOffset: true, WaitAOF: true, AppendsFirst: true, FieldExpiry: func() bool { return true },
	Vary: map[string][]string{
		"repl-compression":   {"yes", "no"},
		"repl-diskless-load": {"disabled", "on-empty-db", "swapdb"},
		"aof-history-bytes":  {"0", "1mb", "64mb"},
		"io-threads":         {"1", "3"},
	}}
