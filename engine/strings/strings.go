// Package strings is the string family: SET, GET and their kin, counters, ranges, LCS.
//
// A string is stored as its bytes, an integer as its decimal text; keyspace.Encoding only remembers what OBJECT
// ENCODING says of it. Requests that reproduce their own effect stand in the log as they came (command.LogRequest, no copy is
// made); those that depend on the clock or on floating point arithmetic hand their outcome to Ctx.Effect.
//
// Behaviour, order of checks and error texts were taken from redis-server by experiment.
// https://redis.io/docs/latest/commands/?group=string
package strings

import (
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		getCommand(), setCommand(), setnxCommand(), setexCommand(), psetexCommand(), getsetCommand(), getexCommand(), getdelCommand(),
		mgetCommand(), msetCommand(), msetnxCommand(),
		incrCommand(), decrCommand(), incrbyCommand(), decrbyCommand(), incrbyfloatCommand(),
		appendCommand(), strlenCommand(), setrangeCommand(), getrangeCommand(), substrCommand(),
		lcsCommand(),
	}
}

var (
	setWord       = []byte("SET")
	delWord       = []byte("DEL")
	pxatWord      = []byte("PXAT")
	keepttlWord   = []byte("KEEPTTL")
	persistWord   = []byte("PERSIST")
	pexpireatWord = []byte("PEXPIREAT")
)

// The arguments most commands of the family begin with.
var (
	keyArg   = command.Arg{Name: "key", Type: "key"}
	valueArg = command.Arg{Name: "value", Type: "string"}
)

// unitMS is how many ms the number of an expiry option stands for, or that it has none.
type expiryKind uint8

const (
	noExpiry   expiryKind = iota
	inSeconds             // EX
	inMillis              // PX
	atSeconds             // EXAT
	atMillis              // PXAT
	keepExpiry            // KEEPTTL
	dropExpiry            // PERSIST
)

// hasTime reports whether the option comes with a number.
func (k expiryKind) hasTime() bool { return k >= inSeconds && k <= atMillis }

// expiryOption recognises an option that says what becomes of the expiry.
func expiryOption(a []byte) expiryKind {
	switch len(a) {
	case 2:
		if command.Is(a, "ex") {
			return inSeconds
		}
		if command.Is(a, "px") {
			return inMillis
		}
	case 4:
		if command.Is(a, "exat") {
			return atSeconds
		}
		if command.Is(a, "pxat") {
			return atMillis
		}
	case 7:
		if command.Is(a, "keepttl") {
			return keepExpiry
		}
		if command.Is(a, "persist") {
			return dropExpiry
		}
	}
	return noExpiry
}

// deadline turns the number of an expiry option into Unix ms. ok is false when the error has been replied.
func deadline(c *command.Ctx, kind expiryKind, arg []byte) (at int64, ok bool) {
	n, ok := command.ParseInt(arg)
	if !ok {
		c.W.Error(command.ErrNotInt)
		return 0, false
	}
	const most = 1<<63 - 1
	if n <= 0 {
		return 0, badExpiry(c)
	}
	if kind == inSeconds || kind == atSeconds {
		if n > most/1000 {
			return 0, badExpiry(c)
		}
		n *= 1000
	}
	if kind == inSeconds || kind == inMillis {
		if n > most-c.Now {
			return 0, badExpiry(c)
		}
		n += c.Now
	}
	return n, true
}

func badExpiry(c *command.Ctx) bool {
	c.W.Error(command.ErrExpire(c.Cmd.Name))
	return false
}

// logSet records a SET without conditions in place of the request.
func logSet(c *command.Ctx, key, val []byte, expireAt int64) {
	if !c.Logged() {
		return
	}
	if expireAt == keyspace.NoExpire {
		c.Effect(setWord, key, val)
		return
	}
	var a [20]byte
	c.Effect(setWord, key, val, pxatWord, strconv.AppendInt(a[:0], expireAt, 10))
}
