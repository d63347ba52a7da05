// Package scripts replays the command scripts of testdata/ on tidemark and on
// the machine's redis-server, side by side, and compares every reply, in RESP2 and in RESP3.
//
// A script is a text file, read line by line:
//
//	# a comment
//	SET k "a\x00b"             a command, quoted as in redis-cli, on connection "main"
//	b> GET k                   the same on connection "b", opened when first named
//	= +OK                      the reply to the command above, in canonical form; both servers must give it
//	=2 (nil array)             the same for one protocol only
//
// Lines that begin with @ are directives. These hold for the next command only:
//
//	@since 7.2                 Redis has it since then: a redis-server that is older does not run it; a "=" line or @match must tell the reply
//	@before 7.2 REASON         the reply of a redis-server older than that may differ; with a "=" line that of all others must be that
//	@changed 7.2 REASON        the reply of a redis-server of that version or newer may differ; with a "=" line that of all others must be that
//	@alone REASON              only tidemark runs it; a "=" line or @match must tell the reply
//	@expect-differ REASON      the replies may differ; with a "=" line tidemark's must be that
//	@tolerate N                integers, and bulks that are integers, may differ by at most N
//	@numbers                   numbers in bulk strings and doubles are compared as such: 0.1 is 0.10000000000000001
//	@unordered                 elements of arrays and maps may come in any order
//	@shape                     only kinds and lengths count, not contents
//	@mask REGEXP               what matches is replaced by <mask> in both replies first (may repeat)
//	@match REGEXP              the canonical reply must match, on both (the replies may differ elsewhere)
//	@until CANONICAL           repeat the command until it replies so, at most 10 s
//	@async                     send only; @reply reads the reply
//
// These stand by themselves:
//
//	@reply [conn]              read one more reply from a connection
//	@silent [conn]             nothing arrives on the connection for 50 ms
//	@blocked N                 wait until INFO says that N clients are blocked, at most 10 s
//	@closed [conn]             the server closes the connection (which the next use opens anew)
//	@raw [conn>] "bytes"       send bytes as they are and read a reply
//	@rawonly [conn>] "bytes"   send bytes as they are, read nothing
//	@open conn                 (re)open a connection now
//	@let NAME REGEXP           set $NAME from the reply above, per server: the first group, or the whole match
//	@resp 2|3                  (at the top) run in this protocol only
//	@server ARG ...            (at the top) both servers of this file are started with these directives
//
// $NAME in a command stands for what @let took. Before each file both servers
// are empty: all databases flushed, all connections new.
package scripts
