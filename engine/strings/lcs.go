package strings

import (
	"math"
	"math/bits"

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
			{Name: "min-match-len", Type: "integer", Token: "MINMATCHLEN", Flags: command.Optional},
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

// The lengths L(i,j) of the common subsequences of a[:i] and b[:j] grow by 0 or 1 from one j to the next. A row is kept as those
// steps, one bit for each byte of b, inverted: a word of it advances 64 cells of the classic table with an addition.
//
// Hyyrö, "Bit-parallel LCS-length computation revisited" (2004).
type lcsRow struct {
	inverted []uint64
	at       [256][]uint64 // where in b each byte that a has occurs; nil: nowhere
}

func newLCSRow(a, b []byte) *lcsRow {
	words := (len(b) + 63) / 64
	r := &lcsRow{inverted: make([]uint64, words)}
	for i := range r.inverted {
		r.inverted[i] = ^uint64(0)
	}
	var in [256]bool
	for _, ch := range a {
		in[ch] = true
	}
	for j, ch := range b {
		if !in[ch] {
			continue
		}
		if r.at[ch] == nil {
			r.at[ch] = make([]uint64, words)
		}
		r.at[ch][j>>6] |= 1 << (j & 63)
	}
	return r
}

// next advances by a byte of a. steps, when not nil, receives the row as it stands then, not inverted.
func (r *lcsRow) next(ch byte, steps []uint64) {
	at := r.at[ch]
	if at == nil {
		for i := range steps {
			steps[i] = ^r.inverted[i]
		}
		return
	}
	var carry uint64
	row := r.inverted[:len(at)]
	for i, m := range at {
		v := row[i]
		var sum uint64
		sum, carry = bits.Add64(v, v&m, carry)
		v = sum | v&^m
		row[i] = v
		if steps != nil {
			steps[i] = ^v
		}
	}
}

// length is L at the end of the row.
func (r *lcsRow) length(n int) (sum int) {
	for i, v := range r.inverted {
		v = ^v
		if left := n - i*64; left < 64 {
			v &= 1<<left - 1
		}
		sum += bits.OnesCount64(v)
	}
	return sum
}

func lcsLength(a, b []byte) int {
	r := newLCSRow(a, b)
	for _, ch := range a {
		r.next(ch, nil)
	}
	return r.length(len(b))
}

// lcsTable keeps every row, to walk back from the end. Where the bytes differ, a step at (i,j) says that leaving out the last
// byte of a keeps the length and leaving out that of b does not.
type lcsTable struct {
	steps  []uint64
	stride int
	length int
}

func newLCSTable(a, b []byte) *lcsTable {
	r := newLCSRow(a, b)
	t := &lcsTable{stride: len(r.inverted)}
	t.steps = make([]uint64, len(a)*t.stride)
	for i, ch := range a {
		r.next(ch, t.steps[i*t.stride:(i+1)*t.stride])
	}
	t.length = r.length(len(b))
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
		case t.steps[i*t.stride+j>>6]>>(j&63)&1 != 0:
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
