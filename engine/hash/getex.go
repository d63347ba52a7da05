package hash

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

// expiryOf tells when a field expires: Unix ms, noExpiry or noField.
func expiryOf(c *command.Ctx, r keyspace.Ref, field []byte) int64 {
	var buf [20]byte
	_, at, there := value.FieldAt(c.Keys[0].Shard, r, field, &buf)
	switch {
	case !there:
		return noField
	case at == keyspace.NoExpire:
		return noExpiry
	}
	return at
}

// expiryOptions are those of HGETEX and HSETEX that give a time.
var expiryOptions = []command.Arg{
	{Name: "seconds", Type: "integer", Token: "EX"},
	{Name: "milliseconds", Type: "integer", Token: "PX"},
	{Name: "unix-time-seconds", Type: "unix-time", Token: "EXAT"},
	{Name: "unix-time-milliseconds", Type: "unix-time", Token: "PXAT"},
}

func expirationArg(last command.Arg) command.Arg {
	return command.Arg{Name: "expiration", Type: "oneof", Flags: command.Optional, Args: append(append([]command.Arg(nil), expiryOptions...), last)}
}

// expiryUnit recognises EX, PX, EXAT and PXAT, and gives their unit in ms and where they count from (Unix ms).
func expiryUnit(c *command.Ctx, a []byte) (unit, base int64, ok bool) {
	switch {
	case command.Is(a, "ex"):
		return 1000, c.Now, true
	case command.Is(a, "px"):
		return 1, c.Now, true
	case command.Is(a, "exat"):
		return 1000, 0, true
	case command.Is(a, "pxat"):
		return 1, 0, true
	}
	return 0, 0, false
}

func hgetdelCommand() *command.Descriptor {
	return writer("hgetdel", "8.0.0", "Returns the values of fields of a hash and removes them", -5, 0, command.KeyAccess|command.KeyDelete, hgetdel, fieldsBlock())
}

func hgetdel(c *command.Ctx) {
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
			c.W.Null()
		}
		return
	}
	k := &c.Keys[0]
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openThere()
	words := append(c.Words(), hdelWord, k.Name)
	var buf [20]byte
	for _, field := range fields {
		if !e.alive(field) {
			c.W.Null()
			continue
		}
		c.W.Bulk(e.val(&buf))
		e.remove()
		words = append(words, field)
	}
	e.close()
	if n := len(words) - 2; n > 0 {
		c.EffectOf(words, 0)
		c.ChangedBy(k, n)
	}
}

func hgetexCommand() *command.Descriptor {
	return writer("hgetex", "8.0.0", "Returns the values of fields of a hash, and lets them expire or not", -5, 0, command.KeyAccess|command.KeyUpdate, hgetex,
		expirationArg(command.Arg{Name: "persist", Type: "pure-token", Token: "PERSIST"}), fieldsBlock())
}

func hgetex(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	next, at := 2, int64(keyspace.NoExpire)
	persist := command.Is(c.Args[2], "persist")
	unit, base, given := expiryUnit(c, c.Args[2])
	switch {
	case persist:
		next = 3
	case given:
		if at, ok = expiryAt(c, 3, unit, base); !ok {
			return
		}
		next = 4
	}
	fields, ok := fieldsAt(c, next, errFieldsNumber)
	if !ok {
		return
	}
	c.W.Array(len(fields))
	if r == 0 {
		for range fields {
			c.W.Null()
		}
		return
	}
	k := &c.Keys[0]
	past := given && c.Past(at)
	if given {
		at = max(at, 1)
	}
	l := newEffect(c, k, at)
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openThere()
	n := 0
	var buf [20]byte
	for _, field := range fields {
		if !e.alive(field) {
			c.W.Null()
			continue
		}
		c.W.Bulk(e.val(&buf))
		switch {
		case past:
			e.remove()
			c.Effect(hdelWord, k.Name, field)
			n++
		case given, persist && e.until != keyspace.NoExpire:
			e.expire(field, at)
			l.add(field)
			n++
		}
	}
	e.close()
	l.give()
	if n > 0 {
		c.ChangedBy(k, n)
	}
}

func hsetexCommand() *command.Descriptor {
	return writer("hsetex", "8.0.0", "Gives fields of a hash their values, and lets them expire or not", -6, command.DenyOOM, command.KeyUpdate, hsetex,
		command.Arg{Name: "condition", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
			{Name: "fnx", Type: "pure-token", Token: "FNX"}, {Name: "fxx", Type: "pure-token", Token: "FXX"}}},
		expirationArg(command.Arg{Name: "keepttl", Type: "pure-token", Token: "KEEPTTL"}),
		command.Arg{Name: "fields", Type: "block", Token: "FIELDS", Args: []command.Arg{
			{Name: "numfields", Type: "integer"},
			{Name: "data", Type: "block", Flags: command.Multiple, Args: []command.Arg{fieldArg, valueArg}}}})
}

// setex is a request of HSETEX.
type setex struct {
	onlyNew, onlyThere bool
	given, keep        bool
	at                 int64
	pairs              [][]byte
}

func parseSetex(c *command.Ctx) (q setex, ok bool) {
	for i := 2; i < len(c.Args); i++ {
		a := c.Args[i]
		unit, base, timed := expiryUnit(c, a)
		keep, fnx, fxx := command.Is(a, "keepttl"), command.Is(a, "fnx"), command.Is(a, "fxx")
		switch {
		case (timed || keep) && (q.given || q.keep):
			c.W.Error("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified")
			return q, false
		case (fnx || fxx) && (q.onlyNew || q.onlyThere):
			c.W.Error("ERR Only one of FXX or FNX arguments can be specified")
			return q, false
		case keep:
			q.keep = true
		case fnx:
			q.onlyNew = true
		case fxx:
			q.onlyThere = true
		case timed:
			if i++; i == len(c.Args) {
				c.W.Error("ERR missing expire time")
				return q, false
			}
			if q.at, ok = expiryAt(c, i, unit, base); !ok {
				return q, false
			}
			q.given = true
		case command.Is(a, "fields"):
			if i+1 == len(c.Args) {
				c.W.Error(command.WrongArity(c.Cmd))
				return q, false
			}
			n, ok := command.ParseInt(c.Args[i+1])
			if !ok || n <= 0 {
				c.W.Error("ERR invalid number of fields")
				return q, false
			}
			q.pairs = c.Args[i+2:]
			if len(q.pairs)%2 != 0 || n != int64(len(q.pairs)/2) {
				c.W.Error(command.WrongArity(c.Cmd))
				return q, false
			}
			return q, true
		default:
			c.W.Error("ERR unknown argument: " + string(a))
			return q, false
		}
	}
	c.W.Error("ERR missing FIELDS argument")
	return q, false
}

func hsetex(c *command.Ctx) {
	q, ok := parseSetex(c)
	if !ok {
		return
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	if q.onlyNew || q.onlyThere {
		var buf [20]byte
		for i := 0; i < len(q.pairs); i += 2 {
			if _, there := read(c, &r, q.pairs[i], &buf); there == q.onlyNew {
				c.W.Int(0)
				return
			}
		}
	}
	if q.given && c.Past(q.at) {
		dropFields(c, k, r, q.pairs)
		c.W.Int(1)
		return
	}
	if q.given {
		q.at = max(q.at, 1)
	}
	var room [8]int64
	until := room[:0] // what KEEPTTL keeps, by field
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openFor(q.pairs)
	for i := 0; i < len(q.pairs); i += 2 {
		at := int64(keyspace.NoExpire)
		if e.look(q.pairs[i]); q.keep && e.until > c.FieldNow() {
			at = e.until
		}
		e.set(q.pairs[i], q.pairs[i+1], at)
		if q.keep {
			until = append(until, at)
		}
	}
	e.close()
	// The log holds commands that servers older than HSETEX know as well.
	c.EffectOf(append(append(c.Words(), hsetWord, k.Name), q.pairs...), 0)
	if q.given {
		l := newEffect(c, k, q.at)
		e = editor{c: c, k: k, s: k.Shard, r: k.Shard.Find(c.DB, k.Hash, k.Name)}
		e.openThere()
		for i := 0; i < len(q.pairs); i += 2 {
			e.look(q.pairs[i])
			e.expire(q.pairs[i], q.at)
			l.add(q.pairs[i])
		}
		e.close()
		l.give()
	}
	for i, at := range until {
		if at != keyspace.NoExpire {
			effectUntil(c, k, q.pairs[2*i], at)
		}
	}
	c.ChangedBy(k, len(q.pairs)/2)
	c.W.Int(1)
}

// dropFields removes fields that were to be set with an expiry that has gone by.
func dropFields(c *command.Ctx, k *command.Key, r keyspace.Ref, pairs [][]byte) {
	if r == 0 {
		return
	}
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openThere()
	n := 0
	for i := 0; i < len(pairs); i += 2 {
		if e.look(pairs[i]); e.there {
			e.remove()
			c.Effect(hdelWord, k.Name, pairs[i])
			n++
		}
	}
	e.close()
	if n > 0 {
		c.ChangedBy(k, n)
	}
}
