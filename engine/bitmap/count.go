package bitmap

import "tidemark/engine/command"

// The optional unit of a range's ends.
func unitArg() command.Arg {
	return command.Arg{Name: "unit", Type: "oneof", Since: "7.0.0", Flags: command.Optional, Args: []command.Arg{
		{Name: "byte", Type: "pure-token", Token: "BYTE"},
		{Name: "bit", Type: "pure-token", Token: "BIT"},
	}}
}

func bitcountCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "bitcount", Arity: -2, Flags: command.ReadOnly, Categories: command.CatBitmap,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "bitmap", Since: "2.6.0", Complexity: "O(N)", Handler: bitcount,
		Summary: "Counts the set bits of the string stored under a key",
		Args: []command.Arg{keyArg, {Name: "range", Type: "block", Flags: command.Optional, Args: []command.Arg{
			{Name: "start", Type: "integer"}, {Name: "end", Type: "integer"}, unitArg(),
		}}},
		History: [][2]string{{"7.0.0", "Option BYTE or BIT."}},
	}
}

func bitposCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "bitpos", Arity: -3, Flags: command.ReadOnly, Categories: command.CatBitmap,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "bitmap", Since: "2.8.7", Complexity: "O(N)", Handler: bitpos,
		Summary: "Finds the first bit that is set, or clear, in the string stored under a key",
		Args: []command.Arg{keyArg, {Name: "bit", Type: "integer"},
			{Name: "range", Type: "block", Flags: command.Optional, Args: []command.Arg{
				{Name: "start", Type: "integer"},
				{Name: "end-unit-block", Type: "block", Flags: command.Optional, Args: []command.Arg{
					{Name: "end", Type: "integer"}, unitArg(),
				}},
			}},
		},
		History: [][2]string{{"7.0.0", "Option BYTE or BIT."}},
	}
}

// bitUnit parses BYTE or BIT; ok is false when the error has been replied.
func bitUnit(c *command.Ctx, arg []byte) (bits, ok bool) {
	if command.Is(arg, "bit") {
		return true, true
	}
	if !command.Is(arg, "byte") {
		c.W.Error(command.ErrSyntax)
		return false, false
	}
	return false, true
}

// Redis 7.0 looked at the key first and let illegal arguments pass when it did not exist; since 7.2 they are errors either way
// (https://github.com/redis/redis/pull/11734).

func bitcount(c *command.Ctx) {
	var start, end int64 = 0, -1
	bits := false
	var ok bool
	switch len(c.Args) {
	case 2:
	case 4, 5:
		if start, ok = c.Int(2); !ok {
			return
		}
		if end, ok = c.Int(3); !ok {
			return
		}
		if len(c.Args) == 5 {
			if bits, ok = bitUnit(c, c.Args[4]); !ok {
				return
			}
		}
	default:
		c.W.Error(command.ErrSyntax)
		return
	}
	_, v, ok := c.FindString(&c.Keys[0])
	if !ok {
		return
	}
	if start < 0 && end < 0 && start > end {
		c.W.Int(0)
		return
	}
	start, end = clampRange(start, end, len(v), bits)
	if start > end {
		c.W.Int(0)
		return
	}
	if !bits {
		c.W.Int(popcount(v[start : end+1]))
		return
	}
	n := popcount(v[start>>3 : end>>3+1])
	n -= popcountByte(v[start>>3] &^ (0xff >> (start & 7)))
	n -= popcountByte(v[end>>3] & (0x7f >> (end & 7)))
	c.W.Int(n)
}

// clampRange resolves negative ends and cuts both to the n bytes there are, in bits or bytes. start > end: nothing is left.
func clampRange(start, end int64, n int, bits bool) (int64, int64) {
	total := int64(n)
	if bits {
		total <<= 3
	}
	if start < 0 {
		start = max(start+total, 0)
	}
	if end < 0 {
		end = max(end+total, 0)
	}
	return start, min(end, total-1)
}

func bitpos(c *command.Ctx) {
	bit, ok := c.Int(2)
	if !ok {
		return
	}
	if bit != 0 && bit != 1 {
		c.W.Error("ERR The bit argument must be 1 or 0.")
		return
	}
	if len(c.Args) > 6 {
		c.W.Error(command.ErrSyntax)
		return
	}
	var start, end int64 = 0, -1
	bits, endGiven := false, len(c.Args) >= 5
	if len(c.Args) >= 4 {
		if start, ok = c.Int(3); !ok {
			return
		}
		if len(c.Args) == 6 {
			if bits, ok = bitUnit(c, c.Args[5]); !ok {
				return
			}
		}
		if endGiven {
			if end, ok = c.Int(4); !ok {
				return
			}
		}
	}
	r, v, ok := c.FindString(&c.Keys[0])
	if !ok {
		return
	}
	if r == 0 {
		c.W.Int(-bit)
		return
	}
	start, end = clampRange(start, end, len(v), bits)
	if start > end {
		c.W.Int(-1)
		return
	}
	if !bits {
		start, end = start<<3, end<<3+7
	}
	pos := findBit(v, bit == 1, start, end)
	if pos < 0 && bit == 0 && !endGiven {
		pos = int64(len(v)) << 3 // the first of the zeros that follow the string
	}
	c.W.Int(pos)
}
