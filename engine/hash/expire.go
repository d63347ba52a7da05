package hash

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// What the commands reply for a field.
const (
	noField   = -2
	noExpiry  = -1
	notMet    = 0 // the condition
	expirySet = 1
	deleted   = 2 // as the time has gone by
)

// latestExpiry is the latest time (Unix ms) that a command may give a field, as in Redis.
const latestExpiry = 1<<46 - 1

const (
	errNegativeExpiry = "ERR invalid expire time, must be >= 0"
	errFieldsMissing  = "ERR Mandatory argument FIELDS is missing or not at the right position"
	errFieldsNumber   = "ERR Number of fields must be a positive integer"
	errFieldsMatch    = "ERR The `numfields` parameter must match the number of arguments"
	errNumFields      = "ERR Parameter `numFields` should be greater than 0"
)

var hpexpireatWord, fieldsWord, hdelWord, hpersistWord = []byte("HPEXPIREAT"), []byte("FIELDS"), []byte("HDEL"), []byte("HPERSIST")

func fieldsBlock() command.Arg {
	return command.Arg{Name: "fields", Type: "block", Token: "FIELDS", Args: []command.Arg{
		{Name: "numfields", Type: "integer"}, fieldsArg,
	}}
}

const perField = "O(N) where N is the number of fields named"

// fieldsAt reads FIELDS, a number and as many fields, which must be all that there is from argument i on. none is the error for a number that is none, or
// not positive. When ok is false the error has been replied.
func fieldsAt(c *command.Ctx, i int, none string) (fields [][]byte, ok bool) {
	if i+1 >= len(c.Args) || !command.Is(c.Args[i], "fields") {
		c.W.Error(errFieldsMissing)
		return nil, false
	}
	n, ok := command.ParseInt(c.Args[i+1])
	if !ok || n <= 0 {
		c.W.Error(none)
		return nil, false
	}
	if n != int64(len(c.Args)-i-2) {
		c.W.Error(errFieldsMatch)
		return nil, false
	}
	return c.Args[i+2:], true
}

// expiryAt reads argument i as a time, in units of so many ms from base (Unix ms).
func expiryAt(c *command.Ctx, i int, unit, base int64) (at int64, ok bool) {
	if at, ok = c.Int(i); !ok {
		return 0, false
	}
	if at < 0 {
		c.W.Error(errNegativeExpiry)
		return 0, false
	}
	if at > latestExpiry/unit || at*unit > latestExpiry-base {
		c.W.Error(command.ErrExpire(c.Cmd.Name))
		return 0, false
	}
	return at*unit + base, true
}

// writer describes a command that changes fields, and logs by effect.
func writer(name, since, summary string, arity int, flags command.Flags, keyFlags command.KeyFlags, handler func(*command.Ctx), args ...command.Arg) *command.Descriptor {
	return &command.Descriptor{
		Name: name, Arity: arity, Flags: command.Write | command.Fast | flags, Categories: command.CatHash,
		Keys: command.One(command.KeyRW | keyFlags), Log: command.LogEffect, Handler: handler,
		Group: "hash", Since: since, Complexity: perField, Summary: summary,
		Args: append([]command.Arg{keyArg}, args...),
	}
}

// expirer describes HEXPIRE, HPEXPIRE, HEXPIREAT and HPEXPIREAT. unit is in ms.
func expirer(name string, unit int64, relative bool) *command.Descriptor {
	summary, arg := "Lets fields of a hash expire at a Unix time in ", command.Arg{Name: "unix-time-milliseconds", Type: "unix-time"}
	if relative {
		summary, arg = "Lets fields of a hash expire after a number of ", command.Arg{Name: "milliseconds", Type: "integer"}
	}
	if unit == 1000 {
		summary += "seconds"
		if arg.Name = "unix-time-seconds"; relative {
			arg.Name = "seconds"
		}
	} else {
		summary += "milliseconds"
	}
	return writer(name, "7.4.0", summary, -6, command.DenyOOM, command.KeyUpdate, func(c *command.Ctx) {
		base := int64(0)
		if relative {
			base = c.Now
		}
		hexpire(c, unit, base)
	}, arg, command.Arg{Name: "condition", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
		{Name: "nx", Type: "pure-token", Token: "NX"}, {Name: "xx", Type: "pure-token", Token: "XX"},
		{Name: "gt", Type: "pure-token", Token: "GT"}, {Name: "lt", Type: "pure-token", Token: "LT"},
	}}, fieldsBlock())
}

// condition is NX, XX, GT or LT of HEXPIRE and its kin.
type condition uint8

const (
	always condition = iota
	onlyPersistent
	onlyExpiring
	onlyLater
	onlyEarlier
)

func conditionOf(a []byte) condition {
	switch {
	case command.Is(a, "nx"):
		return onlyPersistent
	case command.Is(a, "xx"):
		return onlyExpiring
	case command.Is(a, "gt"):
		return onlyLater
	case command.Is(a, "lt"):
		return onlyEarlier
	}
	return always
}

// allows says whether a field that expires at is (or not: NoExpire, which is later than any time) may expire at then.
func (cond condition) allows(is, then int64) bool {
	expires := is != keyspace.NoExpire
	switch cond {
	case onlyPersistent:
		return !expires
	case onlyExpiring:
		return expires
	case onlyLater:
		return expires && then > is
	case onlyEarlier:
		return !expires || then < is
	}
	return true
}

func hexpire(c *command.Ctx, unit, base int64) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	at, ok := expiryAt(c, 2, unit, base)
	if !ok {
		return
	}
	next := 3
	cond := conditionOf(c.Args[3])
	if cond != always {
		next++
	}
	fields, ok := fieldsAt(c, next, errNumFields)
	if !ok {
		return
	}
	c.W.Array(len(fields))
	if r == 0 {
		for range fields {
			c.W.Int(noField)
		}
		return
	}
	k := &c.Keys[0]
	past := c.Past(at)
	at = max(at, 1) // in replay one time that has gone by is as good as another
	l := newEffect(c, k, at)
	if cond != always {
		l.cond = c.Args[3]
	}
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openThere()
	n := 0
	for _, field := range fields {
		switch {
		case !e.alive(field):
			c.W.Int(noField)
			continue
		case !cond.allows(e.until, at):
			c.W.Int(notMet)
			continue
		case past:
			e.remove()
			c.Effect(hdelWord, k.Name, field)
			c.W.Int(deleted)
		default:
			e.expire(field, at)
			l.add(field)
			c.W.Int(expirySet)
		}
		n++
	}
	e.close()
	l.give()
	if n > 0 {
		c.ChangedBy(k, n)
	}
}

// effect is what the log holds of fields that were given an expiry: HPEXPIREAT, or with at keyspace.NoExpire HPERSIST.
type effect struct {
	c     *command.Ctx
	k     *command.Key
	at    int64
	cond  []byte   // of the request, which holds whenever the log is replayed; nil: none
	words [][]byte // room for what precedes the fields, and the fields; nil when nothing is logged
	n     int      // fields
}

const effectHead = 6 // command, key, time, condition, FIELDS, number

func newEffect(c *command.Ctx, k *command.Key, at int64) effect {
	l := effect{c: c, k: k, at: at}
	if c.Logged() {
		l.words = append(c.Words(), make([][]byte, effectHead)...)
	}
	return l
}

func (l *effect) add(field []byte) {
	if l.n++; l.words != nil {
		l.words = append(l.words, field)
	}
}

func (l *effect) give() {
	if l.n == 0 || l.words == nil {
		return
	}
	w, i := l.words, effectHead-2
	w[i+1] = l.c.Digits(0, int64(l.n))
	w[i] = fieldsWord
	if l.cond != nil {
		i--
		w[i] = l.cond
	}
	name := hpersistWord
	if l.at != keyspace.NoExpire {
		name = hpexpireatWord
		i--
		w[i] = l.c.Digits(1, l.at)
	}
	w[i-1], w[i-2] = l.k.Name, name
	l.c.EffectOf(w, i-2)
}

// effectUntil logs the expiry of one field.
func effectUntil(c *command.Ctx, k *command.Key, field []byte, at int64) {
	l := newEffect(c, k, at)
	l.add(field)
	l.give()
}

func hpersistCommand() *command.Descriptor {
	return writer("hpersist", "7.4.0", "Takes the expiry of fields of a hash away", -5, 0, command.KeyUpdate, hpersist, fieldsBlock())
}

func hpersist(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	fields, ok := fieldsAt(c, 2, errFieldsNumber)
	if !ok {
		return
	}
	c.W.Array(len(fields))
	if r == 0 {
		for range fields {
			c.W.Int(noField)
		}
		return
	}
	k := &c.Keys[0]
	l := newEffect(c, k, keyspace.NoExpire)
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openThere()
	for _, field := range fields {
		switch {
		case !e.alive(field):
			c.W.Int(noField)
		case e.until == keyspace.NoExpire:
			c.W.Int(noExpiry)
		default:
			e.expire(field, keyspace.NoExpire)
			l.add(field)
			c.W.Int(expirySet)
		}
	}
	e.close()
	l.give()
	if l.n > 0 {
		c.ChangedBy(k, l.n)
	}
}

// expiryReader describes HTTL, HPTTL, HEXPIRETIME and HPEXPIRETIME.
func expiryReader(name string, seconds, relative bool) *command.Descriptor {
	summary := "Tells at which Unix time in milliseconds fields of a hash expire"
	switch {
	case seconds && relative:
		summary = "Tells in how many seconds fields of a hash expire"
	case relative:
		summary = "Tells in how many milliseconds fields of a hash expire"
	case seconds:
		summary = "Tells at which Unix time in seconds fields of a hash expire"
	}
	return reader(name, "7.4.0", summary, perField, -5, command.Fast, command.KeyAccess, func(c *command.Ctx) {
		replyExpiries(c, seconds, relative)
	}, fieldsBlock())
}

func replyExpiries(c *command.Ctx, seconds, relative bool) {
	r, ok := find(c)
	if !ok {
		return
	}
	fields, ok := fieldsAt(c, 2, errFieldsNumber)
	if !ok {
		return
	}
	c.W.Array(len(fields))
	now := c.FieldNow()
	for _, field := range fields {
		at := int64(noField)
		if r != 0 {
			at = expiryOf(c, r, field)
		}
		if at >= 0 {
			switch {
			case at <= now:
				at = noField
			case relative:
				at = max(at-c.Now, 0)
				fallthrough
			default:
				if seconds {
					at = (at + 999) / 1000
				}
			}
		}
		c.W.Int(at)
	}
}
