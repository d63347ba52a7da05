package bitmap

import (
	"math"

	"tidemark/engine/command"
)

// bitfieldKeyFlags: a request of nothing but GETs only reads.
func bitfieldKeyFlags(args [][]byte) command.KeyFlags {
	for i := 2; i < len(args); {
		switch {
		case command.Is(args[i], "get"):
			i += 3
		case command.Is(args[i], "overflow"):
			i += 2
		default:
			return command.KeyRW | command.KeyAccess | command.KeyUpdate
		}
	}
	return command.KeyRO | command.KeyAccess
}

func bitfieldCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "bitfield", Arity: -2, Flags: command.Write | command.DenyOOM, Categories: command.CatBitmap,
		Keys: []command.KeySpec{{
			Notes: "it is only read when there is nothing but GET",
			Flags: command.KeyRW | command.KeyAccess | command.KeyUpdate | command.KeyVariable, Begin: 1, Step: 1,
			Refine: bitfieldKeyFlags,
		}},
		KeyUse: bitfieldKeyUse,
		Log:    command.LogRequest, Handler: func(c *command.Ctx) { bitfield(c, false) },
		Group: "bitmap", Since: "3.2.0", Complexity: "O(1) for each subcommand specified",
		Summary: "Reads and writes integers of any width within the string stored under a key",
		Args: []command.Arg{keyArg, {Name: "operation", Type: "oneof", Flags: command.Optional | command.Multiple, Args: []command.Arg{
			{Name: "get-block", Type: "block", Token: "GET", Args: fieldArgs()},
			{Name: "write", Type: "block", Args: []command.Arg{
				{Name: "overflow-block", Type: "oneof", Token: "OVERFLOW", Flags: command.Optional, Args: []command.Arg{
					{Name: "wrap", Type: "pure-token", Token: "WRAP"},
					{Name: "sat", Type: "pure-token", Token: "SAT"},
					{Name: "fail", Type: "pure-token", Token: "FAIL"},
				}},
				{Name: "write-operation", Type: "oneof", Args: []command.Arg{
					{Name: "set-block", Type: "block", Token: "SET",
						Args: append(fieldArgs(), command.Arg{Name: "value", Type: "integer"})},
					{Name: "incrby-block", Type: "block", Token: "INCRBY",
						Args: append(fieldArgs(), command.Arg{Name: "increment", Type: "integer"})},
				}},
			}},
		}}},
	}
}

// bitfieldKeyUse: nothing but GET only reads.
func bitfieldKeyUse(args [][]byte) command.KeyFlags {
	for i := 2; i < len(args); i++ {
		switch {
		case command.Is(args[i], "get"):
			i += 2
		case command.Is(args[i], "overflow"):
			i++
		default:
			return command.KeyRW | command.KeyAccess | command.KeyUpdate
		}
	}
	return command.KeyRO | command.KeyAccess
}

func bitfieldROCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "bitfield_ro", Arity: -2, Flags: command.ReadOnly | command.Fast, Categories: command.CatBitmap,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "bitmap", Since: "6.0.0", Complexity: "O(1) for each subcommand specified",
		Handler: func(c *command.Ctx) { bitfield(c, true) },
		Summary: "Reads integers of any width within the string stored under a key",
		Args: []command.Arg{keyArg, {
			Name: "get-block", Type: "block", Token: "GET", Args: fieldArgs(),
			Flags: command.Optional | command.Multiple | command.MultipleToken,
		}},
	}
}

func fieldArgs() []command.Arg {
	return []command.Arg{{Name: "encoding", Type: "string"}, {Name: "offset", Type: "integer"}}
}

// overflow is what happens to a number that does not fit its field.
type overflow uint8

const (
	wrap     overflow = iota // its low bits are stored
	saturate                 // the nearest one that fits
	fail                     // nothing is stored, the reply is null
)

// field is an integer's place: signed or not, 1 to 64 bits (63 unsigned).
type field struct {
	signed bool
	width  uint
	off    int64 // of its most significant bit
}

type fieldOp struct {
	field
	kind     fieldOpKind
	overflow overflow
	n        int64
}

type fieldOpKind uint8

const (
	fieldGet fieldOpKind = iota
	fieldSet
	fieldIncr
)

func bitfield(c *command.Ctx, readOnly bool) {
	var room [16]fieldOp // enough for most; a longer request takes the heap
	ops, ok := parseFieldOps(c, room[:0])
	if !ok {
		return
	}
	end, writes := int64(0), false
	for i := range ops {
		if op := &ops[i]; op.kind != fieldGet {
			writes = true
			end = max(end, (op.off+int64(op.width)+7)>>3)
		}
	}
	k := &c.Keys[0]
	if !writes {
		if _, v, ok := c.FindString(k); ok {
			c.W.Array(len(ops))
			for i := range ops {
				c.W.Int(ops[i].load(v))
			}
		}
		return
	}
	if readOnly {
		c.W.Error("ERR BITFIELD_RO only supports the GET subcommand")
		return
	}
	r, v, ok := c.FindStringForWrite(k)
	if !ok {
		return
	}
	// The string grows to take every write before the first is made, whether or not they will overflow.
	grows := int64(len(v)) < end
	v = grown(c, k, r, v, int(end))
	c.W.Array(len(ops))
	changes := 0
	for i := range ops {
		if ops[i].run(c, v) {
			changes++
		}
	}
	if grows && changes == 0 {
		changes = 1 // the length alone: a replay must come to it, too
	}
	for ; changes > 0; changes-- {
		c.Changed(k)
	}
}

// run executes one operation on v, replies, and reports whether v has changed.
func (op *fieldOp) run(c *command.Ctx, v []byte) bool {
	old := op.load(v)
	if op.kind == fieldGet {
		c.W.Int(old)
		return false
	}
	base, by := op.n, int64(0)
	if op.kind == fieldIncr {
		base, by = old, op.n
	}
	n, ok := op.fit(base, by, op.overflow)
	if !ok {
		c.W.Null()
		return false
	}
	if op.kind == fieldSet {
		c.W.Int(old)
	} else {
		c.W.Int(n)
	}
	if n == old {
		return false
	}
	op.store(v, n)
	return true
}

func parseFieldOps(c *command.Ctx, ops []fieldOp) (out []fieldOp, ok bool) {
	mode := wrap
	for i := 2; i < len(c.Args); {
		left := len(c.Args) - i - 1
		op := fieldOp{overflow: mode}
		need := 2
		switch word := c.Args[i]; {
		case command.Is(word, "get") && left >= 2:
		case command.Is(word, "set") && left >= 3:
			op.kind, need = fieldSet, 3
		case command.Is(word, "incrby") && left >= 3:
			op.kind, need = fieldIncr, 3
		case command.Is(word, "overflow") && left >= 1:
			if mode, ok = overflowMode(c, c.Args[i+1]); !ok {
				return nil, false
			}
			i += 2
			continue
		default:
			c.W.Error(command.ErrSyntax)
			return nil, false
		}
		if !op.parseType(c.Args[i+1]) {
			c.W.Error("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
			return nil, false
		}
		if op.off, ok = bitOffset(c, c.Args[i+2], int64(op.width)); !ok {
			return nil, false
		}
		if op.kind != fieldGet {
			if op.n, ok = c.Int(i + 3); !ok {
				return nil, false
			}
		}
		ops = append(ops, op)
		i += 1 + need
	}
	return ops, true
}

func overflowMode(c *command.Ctx, arg []byte) (overflow, bool) {
	switch {
	case command.Is(arg, "wrap"):
		return wrap, true
	case command.Is(arg, "sat"):
		return saturate, true
	case command.Is(arg, "fail"):
		return fail, true
	}
	c.W.Error("ERR Invalid OVERFLOW type specified")
	return wrap, false
}

// parseType reads i1 to i64 and u1 to u63.
func (f *field) parseType(arg []byte) bool {
	if len(arg) < 2 || arg[0] != 'i' && arg[0] != 'u' {
		return false
	}
	n, ok := command.ParseInt(arg[1:])
	f.signed = arg[0] == 'i'
	if !ok || n < 1 || n > 64 || n == 64 && !f.signed {
		return false
	}
	f.width = uint(n)
	return true
}

// load reads the field; what lies beyond v is zero.
func (f *field) load(v []byte) int64 {
	var n uint64
	at, skip := f.off>>3, uint(f.off&7)
	for left := skip + f.width; left > 0; at++ {
		var x uint64
		if at < int64(len(v)) {
			x = uint64(v[at])
		}
		x &= 0xff >> skip
		skip = 0
		if left < 8 {
			n = n<<left | x>>(8-left)
			break
		}
		n = n<<8 | x
		left -= 8
	}
	return f.extend(n)
}

// extend makes a number of the low bits of n.
func (f *field) extend(n uint64) int64 {
	if f.signed {
		return int64(n<<(64-f.width)) >> (64 - f.width)
	}
	return int64(n << (64 - f.width) >> (64 - f.width))
}

// store writes the field, all of which lies within v.
func (f *field) store(v []byte, n int64) {
	for i := uint(0); i < f.width; {
		bit := f.off + int64(i)
		at, skip := bit>>3, uint(bit&7)
		take := min(8-skip, f.width-i)
		mask := byte(0xff) >> skip &^ (byte(0xff) >> (skip + take))
		part := byte(uint64(n) >> (f.width - i - take) << (8 - skip - take))
		v[at] = v[at]&^mask | part&mask
		i += take
	}
}

// fit returns base+by as the field can hold it. ok is false when it cannot and mode is fail.
func (f *field) fit(base, by int64, mode overflow) (n int64, ok bool) {
	low, high := int64(0), int64(math.MaxInt64)
	switch {
	case f.signed:
		high >>= 64 - f.width
		low = -high - 1
		if by == 0 && base < 0 && high-base < 0 && f.width < 64 {
			// SET of a number so small that its distance to the largest is no int64: Redis saturates at the wrong end.
			return f.out(base, high, mode)
		}
	default:
		high >>= 63 - f.width
		if by == 0 && base < 0 {
			// SET of a negative number to an unsigned field: Redis takes it for a huge one.
			return f.out(base, high, mode)
		}
	}
	sum := base + by
	switch {
	case by > 0 && sum < base || by >= 0 && sum >= base && sum > high:
		return f.out(sum, high, mode)
	case by < 0 && sum > base || by <= 0 && sum <= base && sum < low:
		return f.out(sum, low, mode)
	}
	return sum, true
}

// out is fit for a number that does not: sum modulo 2^64, and the nearest number that fits.
func (f *field) out(sum, nearest int64, mode overflow) (int64, bool) {
	switch mode {
	case saturate:
		return nearest, true
	case fail:
		return 0, false
	}
	return f.extend(uint64(sum)), true
}
