package value

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
)

// A Builder makes a whole collection that belongs to no key yet, small or large as its elements turn out. Put gives it a key; Discard drops it.
// One of them must follow while nothing flushes the database, under the lock under which it was begun, or another hold of it.
type Builder struct {
	s    *keyspace.Shard
	db   int
	typ  keyspace.Type
	lim  *Limits
	n    int
	c    *keyspace.Coll // once it is large
	list packed.List    // of a small list, set or hash
	ex   bool           // the list is that of a ListPackEx
	ints intset.Set     // of a set of integers alone
	z    []scored       // of a small sorted set, unsorted
	buf  []byte         // the members of z
	enc  []byte
	pack bool // PackIntegers
}

type scored struct {
	from, to int // of the member in buf
	score    float64
}

// NewBuilder begins a collection in a database of a shard.
func NewBuilder(s *keyspace.Shard, db int, typ keyspace.Type, lim *Limits) *Builder {
	b := &Builder{s: s, db: db, typ: typ, lim: lim}
	if typ == keyspace.Set {
		b.ints = intset.New(nil)
	} else if typ != keyspace.ZSet {
		b.list = packed.New(nil)
	}
	return b
}

// Len counts the elements so far.
func (b *Builder) Len() int { return b.n }

// grow makes it large.
func (b *Builder) grow() {
	enc := keyspace.HashTable
	switch b.typ {
	case keyspace.List:
		enc = keyspace.QuickList
	case keyspace.ZSet:
		enc = keyspace.SkipList
	}
	b.c = b.s.Draft(b.db, b.typ, enc)
	b.n = 0
	switch b.typ {
	case keyspace.List:
		if n := b.list.Len(); n > 0 {
			b.addBlock(b.list, n)
		}
	case keyspace.Hash:
		if b.ex {
			EachTriple(b.list, b.AddFieldUntil)
			break
		}
		eachPair(b.list, func(f, v []byte) bool { return b.AddField(f, v) })
	case keyspace.ZSet:
		for _, z := range b.z {
			b.AddNewScored(b.buf[z.from:z.to], z.score)
		}
	case keyspace.Set:
		if b.list == nil {
			var buf [20]byte
			for i := range b.ints.Len() {
				b.AddMember(appendInt(buf[:0], b.ints.At(i)))
			}
		} else {
			eachPacked(b.list, b.AddMember)
		}
	}
	b.list, b.ints, b.z, b.buf = nil, nil, nil, nil
}

// Push adds an element behind the others of a list.
func (b *Builder) Push(e []byte) {
	if b.c == nil {
		if b.lim.SmallList(b.n+1, len(b.list)+packed.EntryBytes(e)) {
			b.list = b.list.Append(e)
			b.n++
			return
		}
		b.grow()
	}
	b.n++
	b.c.List(b.lim.ListRules()).PushTail(e)
	b.s.Relieve(b.c)
}

// PushPacked is Push of all elements of a packed list, of which there are n.
func (b *Builder) PushPacked(l packed.List, n int) {
	if b.c == nil {
		if b.n == 0 && b.lim.SmallList(n, len(l)) {
			b.list, b.n = append(b.list[:0], l...), n
			return
		}
		b.grow()
	}
	b.addBlock(l, n)
	b.s.Relieve(b.c)
}

// addBlock adds a packed list as it is, if it is not too large for a block or too small to be one.
func (b *Builder) addBlock(l packed.List, n int) {
	if list := b.c.List(b.lim.ListRules()); b.lim.SmallList(n, len(l)) && len(l) > 1024 {
		list.AppendBlock(l, n)
	} else {
		eachPacked(l, func(e []byte) bool { list.PushTail(e); return true })
	}
	b.n += n
}

// PackIntegers has more integers than a set of integers may have (set-max-intset-entries) make a packed list, if that may have so many, where
// otherwise they make a table.
func (b *Builder) PackIntegers() { b.pack = true }

// Begin has a set that is still empty be an IntSet, a ListPack or a HashTable from the start, or a sorted set a SkipList: what it would have become had
// members been added that are gone again.
func (b *Builder) Begin(enc keyspace.Encoding) {
	switch enc {
	case keyspace.ListPack:
		b.list = packed.New(nil)
	case keyspace.HashTable, keyspace.SkipList:
		b.grow()
	}
}

// Encoding is what a set has become so far.
func (b *Builder) Encoding() keyspace.Encoding {
	switch {
	case b.c != nil:
		return keyspace.HashTable
	case b.list != nil:
		return keyspace.ListPack
	}
	return keyspace.IntSet
}

// AddMember adds a member to a set; false: it is there already.
func (b *Builder) AddMember(m []byte) bool {
	if b.c == nil {
		v, isInt := ParseInt(m)
		isInt = isInt && b.list == nil
		if isInt && int64(b.n) < b.lim.SetIntset.Load() {
			set, added := b.ints.Add(v)
			b.ints = set
			if added {
				b.n++
			}
			return added
		} else if isInt {
			if _, there := b.ints.Find(v); there {
				return false
			}
		}
		if (b.pack || !isInt) && int64(b.n) < b.lim.SetEntries.Load() && int64(len(m)) <= b.lim.SetValue.Load() && b.packSet() {
			b.enc = packed.Encode(b.enc[:0], m)
			if b.list.Find(packed.HeaderBytes, b.enc, 1) != 0 {
				return false
			}
			b.list = b.list.Append(m)
			b.n++
			return true
		}
		b.grow()
	}
	d, h := b.c.Dict(), b.s.Hash(m)
	if d.Find(h, m) != 0 {
		return false
	}
	d.Insert(h, b.c.NewElem(coll.Member, m, nil, 0))
	b.n++
	b.s.Relieve(b.c)
	return true
}

// packSet makes a packed list of a set of integers, if one of them is not too long for that.
func (b *Builder) packSet() bool {
	if b.list != nil {
		return true
	}
	list := packed.New(nil)
	for i := range b.ints.Len() {
		var buf [20]byte
		if int64(len(appendInt(buf[:0], b.ints.At(i)))) > b.lim.SetValue.Load() {
			return false
		}
		list = list.AppendInt(b.ints.At(i))
	}
	b.list = list
	return true
}

// AddField adds a field to a hash; false: it is there already.
func (b *Builder) AddField(f, v []byte) bool { return b.AddFieldUntil(f, v, keyspace.NoExpire) }

// AddFieldUntil is AddField of one that expires (Unix ms, or keyspace.NoExpire).
func (b *Builder) AddFieldUntil(f, v []byte, expireAt int64) bool {
	if b.c == nil {
		longest := int64(max(len(f), len(v)))
		if int64(b.n) < b.lim.HashEntries.Load() && longest <= b.lim.HashValue.Load() {
			if expireAt != keyspace.NoExpire && !b.ex {
				b.list, b.ex = Triples(nil, b.list), true
			}
			step := 2
			if b.ex {
				step = 3
			}
			b.enc = packed.Encode(b.enc[:0], f)
			if b.list.Find(packed.HeaderBytes, b.enc, step) != 0 {
				return false
			}
			if b.ex {
				b.enc = AppendTriple(b.enc[:0], f, v, expireAt)
				b.list = b.list.Splice(TriplePlace(b.list, expireAt), 0, b.enc, 3)
			} else {
				b.list = b.list.Append(f).Append(v)
			}
			b.n++
			return true
		}
		b.grow()
	}
	d, h := b.c.Dict(), b.s.Hash(f)
	if d.Find(h, f) != 0 {
		return false
	}
	InsertField(&b.c.Mem, h, f, v, expireAt)
	b.n++
	b.s.Relieve(b.c)
	return true
}

// Triples appends, to empty dst, a packed list of fields and values as that of a ListPackEx, in which none expires.
func Triples(dst []byte, pairs packed.List) packed.List {
	l := packed.New(dst)
	n := 0
	for at := packed.HeaderBytes; !pairs.AtEnd(at); n++ {
		next := pairs.Skip(at, 2)
		l = append(l[:len(l)-1], pairs[at:next]...)
		l = append(packed.EntryInt(l, 0), pairs[pairs.End()])
		at = next
	}
	l.SetHeader(3 * n)
	return l
}

// Pairs appends, to empty dst, the fields of a ListPackEx, of which none expires, as a packed list of fields and values.
func Pairs(dst []byte, triples packed.List) packed.List {
	l := packed.New(dst)
	n := 0
	for at := packed.HeaderBytes; !triples.AtEnd(at); n++ {
		x := triples.Skip(at, 2)
		l = append(append(l[:len(l)-1], triples[at:x]...), triples[triples.End()])
		at = triples.Next(x)
	}
	l.SetHeader(2 * n)
	return l
}

// AddScored adds a member with its score, which is not NaN, to a sorted set; false: it is there already.
func (b *Builder) AddScored(m []byte, score float64) bool {
	if b.c != nil {
		if b.c.Dict().Find(b.s.Hash(m), m) != 0 {
			return false
		}
	} else {
		for _, z := range b.z {
			if string(b.buf[z.from:z.to]) == string(m) {
				return false
			}
		}
	}
	b.AddNewScored(m, score)
	return true
}

// AddNewScored is AddScored of a member that is known not to be there.
func (b *Builder) AddNewScored(m []byte, score float64) {
	if b.c == nil {
		if int64(b.n) < b.lim.ZSetEntries.Load() && int64(len(m)) <= b.lim.ZSetValue.Load() {
			from := len(b.buf)
			b.buf = append(b.buf, m...)
			b.z = append(b.z, scored{from, len(b.buf), score})
			b.n++
			return
		}
		b.grow()
	}
	r := b.c.NewElem(coll.Scored, m, nil, math.Float64bits(score))
	b.c.Dict().Insert(b.s.Hash(m), r)
	t := b.c.Members()
	p := coll.Probe{Key: coll.ScoreKey(score), Tie: m}
	t.Insert(&p, coll.NewItem(p.Key, r, 1))
	b.n++
	b.s.Relieve(b.c)
}

// small returns encoding and bytes of a collection that has not become large.
func (b *Builder) small() (keyspace.Encoding, []byte) {
	switch {
	case b.typ == keyspace.Set && b.list == nil:
		return keyspace.IntSet, b.ints
	case b.typ == keyspace.ZSet:
		slices.SortFunc(b.z, func(x, y scored) int {
			if c := cmp.Compare(x.score, y.score); c != 0 {
				return c
			}
			return bytes.Compare(b.buf[x.from:x.to], b.buf[y.from:y.to])
		})
		l := packed.New(nil)
		for _, z := range b.z {
			b.enc = AppendScore(b.enc[:0], z.score)
			l = l.Append(b.buf[z.from:z.to]).Append(b.enc)
		}
		return keyspace.ListPack, l
	}
	return keyspace.ListPack, b.list
}

// Put stores the collection, which is not empty, under a key, whatever stood there: r is what Find returned for it (0: nothing). It returns
// the entry.
func (b *Builder) Put(h uint64, r keyspace.Ref, key []byte, expireAt int64, access uint32) keyspace.Ref {
	if b.n == 0 {
		panic("BUG: value: an empty collection is stored")
	}
	if b.c != nil {
		return b.s.Attach(b.c, h, r, key, expireAt, access)
	}
	if b.ex {
		return b.s.PutTriples(b.db, h, r, key, b.list, expireAt, access)
	}
	enc, val := b.small()
	return b.s.Put(b.db, h, r, key, b.typ, enc, val, expireAt, access)
}

// Discard drops what was built.
func (b *Builder) Discard() {
	if b.c != nil {
		b.s.Discard(b.c)
	}
}

// Expand turns a small collection into its large representation, whatever its size, and returns its entry.
func Expand(s *keyspace.Shard, db int, h uint64, r keyspace.Ref, lim *Limits) keyspace.Ref {
	b := &Builder{s: s, db: db, typ: s.Type(r), lim: lim}
	l := packed.List(s.Value(r))
	switch {
	case s.Encoding(r) == keyspace.IntSet:
		b.ints = intset.Set(l)
	case s.Encoding(r) == keyspace.ListPackEx:
		b.list, b.ex = s.Triples(r), true
	case b.typ == keyspace.ZSet:
		b.grow()
		EachScored(s, r, func(m []byte, score float64) bool { b.AddNewScored(m, score); return true })
	default:
		b.list = l
	}
	if b.c == nil {
		b.grow()
	}
	return s.Grow(b.c, h, r)
}

// Errors of CheckPacked.
var (
	errTwice = errors.New("an element stands twice")
	errPairs = errors.New("an odd number of elements")
	errEmpty = errors.New("it is empty")

	errTriples     = errors.New("fields without value or expiry")
	errFieldOrder  = errors.New("fields are not in order of their expiry")
	errFieldExpiry = errors.New("the expiry of a field is no number, or out of range")
)

// CheckPacked verifies that a valid, canonical packed list of n elements is a collection of the type: pairs where there must be, scores that are
// numbers and in order. With deep also that nothing stands twice.
func CheckPacked(l packed.List, n int, typ keyspace.Type, deep bool) error {
	step := 1
	if n == 0 {
		return errEmpty
	}
	switch typ {
	case keyspace.List:
		return nil
	case keyspace.Hash, keyspace.ZSet:
		if step = 2; n%2 != 0 {
			return errPairs
		}
	}
	if typ == keyspace.ZSet {
		last := math.Inf(-1)
		var lastMember []byte
		var bufs [2][20]byte
		for at, i := packed.HeaderBytes, 0; !l.AtEnd(at); i++ {
			next := l.Next(at)
			score, err := scoreAt(l, next)
			if err != nil {
				return err
			}
			m := l.Text(at, &bufs[i%2])
			if score < last || i > 0 && score == last && bytes.Compare(lastMember, m) >= 0 {
				return fmt.Errorf("member %.40q is out of order", m)
			}
			last, lastMember = score, m
			at = l.Next(next)
		}
	}
	if !deep {
		return nil
	}
	seen := make(map[string]struct{}, n/step)
	var buf [20]byte
	for at := packed.HeaderBytes; !l.AtEnd(at); at = l.Skip(at, step) {
		e := l.Text(at, &buf)
		if _, twice := seen[string(e)]; twice {
			return errTwice
		}
		seen[string(e)] = struct{}{}
	}
	return nil
}

func scoreAt(l packed.List, at int) (float64, error) {
	str, n, isInt := l.Get(at)
	if isInt {
		return float64(n), nil
	}
	return parseScore(str)
}
