package strings

import (
	"math"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func lcsCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "lcs", Arity: -3, Flags: command.ReadOnly, Categories: command.CatString,
		Keys:  []command.KeySpec{{Flags: command.KeyRO | command.KeyAccess, Begin: 1, Last: 1, Step: 1}},
		Group: "string", Since: "7.0.0", Handler: lcs,
		Complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively",
		Summary:    "Finds the longest common subsequence of two strings",
		Args: []command.Arg{{Name: "key1", Type: "key"}, {Name: "key2", Type: "key"},
			{Name: "len", Type: "pure-token", Token: "LEN", Flags: command.Optional},
			{Name: "idx", Type: "pure-token", Token: "IDX", Flags: command.Optional},
			{Name: "len", Type: "integer", Token: "MINMATCHLEN", Flags: command.Optional},
			{Name: "withmatchlen", Type: "pure-token", Token: "WITHMATCHLEN", Flags: command.Optional},
		},
	}
}

func lcs(c *command.Ctx) {
	a, b, ok := lcsStrings(c)
	if !ok {
		c.W.Error("ERR The specified keys must contain string values")
		return
	}
	var onlyLen, idx, withLen bool
	var minLen int64
	for i := 3; i < len(c.Args); i++ {
		switch arg := c.Args[i]; {
		case command.Is(arg, "idx"):
			idx = true
		case command.Is(arg, "len"):
			onlyLen = true
		case command.Is(arg, "withmatchlen"):
			withLen = true
		case command.Is(arg, "minmatchlen") && i+1 < len(c.Args):
			i++
			if minLen, ok = c.Int(i); !ok {
				return
			}
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	if idx && onlyLen {
		c.W.Error("ERR If you want both the length and indexes, please just use IDX.")
		return
	}
	if len(a) >= math.MaxUint32-1 || len(b) >= math.MaxUint32-1 {
		c.W.Error("ERR String too long for LCS")
		return
	}
	// Redis's table has four bytes a cell. Ours needs a 32nd of that, but what one server refuses the other should, too: the limit
	// bounds the time as much as the memory.
	if (uint64(len(a))+1)*(uint64(len(b))+1)*4 > uint64(c.Store.MaxBulkBytes.Load()) {
		c.W.Error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
		return
	}
	if onlyLen {
		c.W.Int(int64(lcsLength(a, b)))
		return
	}
	t := newLCSTable(a, b)
	if !idx {
		c.W.Bulk(t.common(a, b))
		return
	}
	runs := t.runs(a, b, int(min(max(minLen, 0), math.MaxInt32)))
	c.W.Map(2)
	c.W.BulkString("matches")
	c.W.Array(len(runs))
	for _, m := range runs {
		if withLen {
			c.W.Array(3)
		} else {
			c.W.Array(2)
		}
		c.W.Array(2)
		c.W.Int(int64(m.a))
		c.W.Int(int64(m.a + m.n - 1))
		c.W.Array(2)
		c.W.Int(int64(m.b))
		c.W.Int(int64(m.b + m.n - 1))
		if withLen {
			c.W.Int(int64(m.n))
		}
	}
	c.W.BulkString("len")
	c.W.Int(int64(t.length))
}

// lcsStrings looks both keys up. They are looked up again for their bytes, because finding one expired may move what the
// other's view showed.
func lcsStrings(c *command.Ctx) (a, b []byte, ok bool) {
	ka, kb := &c.Keys[0], &c.Keys[1]
	c.Find(ka)
	c.Find(kb)
	ra, rb := c.Peek(ka), c.Peek(kb)
	if ra != 0 {
		if ka.Shard.Type(ra) != keyspace.String {
			return nil, nil, false
		}
		a = ka.Shard.Value(ra)
	}
	if rb != 0 {
		if kb.Shard.Type(rb) != keyspace.String {
			return nil, nil, false
		}
		b = kb.Shard.Value(rb)
	}
	return a, b, true
}

// lcsRow advances one row of the classic dynamic programme: row[j] is the length for a[:i] and b[:j]. dir, when not nil, gets bit
// j-1 set where leaving out the last byte of a is strictly better than leaving out that of b.
func lcsRow(row []uint32, ch byte, b []byte, dir []uint64) {
	var diag, left uint32 // row[j-1] before and after
	for j, x := range b {
		up := row[j+1]
		var v uint32
		switch {
		case x == ch:
			v = diag + 1
		case up > left:
			v = up
			if dir != nil {
				dir[j>>6] |= 1 << (j & 63)
			}
		default:
			v = left
		}
		diag, left = up, v
		row[j+1] = v
	}
}

func lcsLength(a, b []byte) uint32 {
	row := make([]uint32, len(b)+1)
	for _, ch := range a {
		lcsRow(row, ch, b, nil)
	}
	return row[len(b)]
}

// lcsTable remembers for each cell which way to walk back: one bit, as a match shows in the strings themselves.
type lcsTable struct {
	dir    []uint64
	stride int
	length uint32
}

func newLCSTable(a, b []byte) *lcsTable {
	t := &lcsTable{stride: (len(b) + 63) / 64}
	t.dir = make([]uint64, len(a)*t.stride)
	row := make([]uint32, len(b)+1)
	for i, ch := range a {
		lcsRow(row, ch, b, t.dir[i*t.stride:(i+1)*t.stride])
	}
	t.length = row[len(b)]
	return t
}

// walk goes from the ends of the strings to a beginning and calls match for each common byte.
func (t *lcsTable) walk(a, b []byte, match func(i, j int)) {
	for i, j := len(a)-1, len(b)-1; i >= 0 && j >= 0; {
		switch {
		case a[i] == b[j]:
			match(i, j)
			i--
			j--
		case t.dir[i*t.stride+j>>6]>>(j&63)&1 != 0:
			i--
		default:
			j--
		}
	}
}

func (t *lcsTable) common(a, b []byte) []byte {
	out := make([]byte, t.length)
	n := len(out)
	t.walk(a, b, func(i, _ int) {
		n--
		out[n] = a[i]
	})
	return out
}

// lcsRun is a[a:a+n] == b[b:b+n].
type lcsRun struct{ a, b, n int }

// runs gives the stretches of the subsequence that are contiguous in both strings and at least minLen long, the last first.
func (t *lcsTable) runs(a, b []byte, minLen int) (out []lcsRun) {
	var cur lcsRun
	end := func() {
		if cur.n > 0 && cur.n >= minLen {
			out = append(out, cur)
		}
	}
	t.walk(a, b, func(i, j int) {
		if cur.n > 0 && cur.a == i+1 && cur.b == j+1 {
			cur = lcsRun{i, j, cur.n + 1}
			return
		}
		end()
		cur = lcsRun{i, j, 1}
	})
	end()
	return out
}
