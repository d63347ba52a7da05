package generic

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"sync"
	"unsafe"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/value"
)

// SORT. The elements are copied out of the collection first: looking up the keys that patterns make may remove some that have
// expired, and views do not survive that.
//
// Those keys are in any shard, and which ones is known only when the elements are. So a request with a pattern of BY or GET that has a star
// runs under the locks of all shards (Descriptor.Everywhere); one without takes those of the keys it names.
//
// Elements that compare equal come in the order of their bytes. Redis does the same where numbers are compared, and leaves it open where
// texts of BY ALPHA are: a result with STORE that hangs on that is logged as it came out.

var (
	sortPatternKeys = command.KeySpec{Flags: command.KeyRO | command.KeyAccess, Unknown: true,
		Notes: "Keys that BY and GET make of a pattern and an element: their names follow from what is in the sorted key."}
	sortSource = command.KeySpec{Flags: command.KeyRO | command.KeyAccess, Begin: 1, Step: 1}
)

var sortCmd = &command.Descriptor{
	Name: "sort", Arity: -2, Flags: command.Write | command.DenyOOM | command.MovableKeys, Categories: sortCategories,
	Keys: []command.KeySpec{sortSource, sortPatternKeys, {Flags: command.KeyOW | command.KeyUpdate, Unknown: true,
		Find:  func(args [][]byte) int { _, at := lookOverSort(args); return at },
		Notes: "The key that STORE names: the word may stand at any place among the options."}},
	Log: command.LogRequest, Everywhere: sortsByPatterns, Handler: func(c *command.Ctx) { sortKey(c, false) },
	Group: "generic", Since: "1.0.0", Summary: "Sorts the elements of a list, a set or a sorted set, and replies or stores them.", Complexity: sortComplexity,
	Args: append(slices.Clone(sortArgs), command.Arg{Name: "destination", Type: "key", Token: "STORE", KeySpec: 2, Flags: command.Optional}),
}

var sortROCmd = &command.Descriptor{
	Name: "sort_ro", Arity: -2, Flags: command.ReadOnly | command.MovableKeys, Categories: sortCategories,
	Keys:       []command.KeySpec{sortSource, sortPatternKeys},
	Everywhere: sortsByPatterns, Handler: func(c *command.Ctx) { sortKey(c, true) },
	Group: "generic", Since: "7.0.0", Summary: "Sorts the elements of a list, a set or a sorted set, and replies them.", Complexity: sortComplexity,
	Args: sortArgs,
}

const (
	sortCategories = command.CatSet | command.CatSortedSet | command.CatList | command.CatDangerous
	sortComplexity = "O(N+M*log(M)) where N is the number of elements and M the number of elements returned; O(N) with a BY that has no star."
)

var sortArgs = []command.Arg{{Name: "key", Type: "key"},
	{Name: "by-pattern", Display: "pattern", Type: "pattern", Token: "BY", KeySpec: 1, Flags: command.Optional},
	{Name: "limit", Type: "block", Token: "LIMIT", Flags: command.Optional, Args: []command.Arg{
		{Name: "offset", Type: "integer"}, {Name: "count", Type: "integer"}}},
	{Name: "get-pattern", Display: "pattern", Type: "pattern", Token: "GET", KeySpec: 1, Flags: command.Optional | command.Multiple | command.MultipleToken},
	{Name: "order", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
		{Name: "asc", Type: "pure-token", Token: "ASC"}, {Name: "desc", Type: "pure-token", Token: "DESC"}}},
	{Name: "sorting", Type: "pure-token", Token: "ALPHA", Flags: command.Optional}}

// lookOverSort tells whether a request has a pattern that makes keys, and which argument names the key to store in (0: none).
func lookOverSort(args [][]byte) (patterns bool, store int) {
	for i := 2; i < len(args)-1; i++ {
		switch {
		case command.Is(args[i], "limit"):
			i += 2
		case command.Is(args[i], "store"):
			i++
			store = i
		case command.Is(args[i], "by"), command.Is(args[i], "get"):
			i++
			patterns = patterns || bytes.IndexByte(args[i], '*') >= 0
		}
	}
	return patterns, store
}

func sortsByPatterns(args [][]byte) bool { p, _ := lookOverSort(args); return p }

// sortOptions are those of a request. Slices are borrowed from it.
type sortOptions struct {
	desc, alpha, store bool
	keepOrder          bool // a BY without a star: nothing is sorted
	byKeys             bool // the elements are sorted by what by leads to, not by themselves
	by                 pattern
	get                []pattern
	offset, count      int64 // count negative: all
}

// parse reads the options, and returns the error there is.
func (o *sortOptions) parse(args [][]byte, readOnly bool) string {
	*o = sortOptions{get: o.get[:0], count: -1}
	for i := 2; i < len(args); i++ {
		left := len(args) - i - 1
		switch {
		case command.Is(args[i], "asc"):
			o.desc = false
		case command.Is(args[i], "desc"):
			o.desc = true
		case command.Is(args[i], "alpha"):
			o.alpha = true
		case command.Is(args[i], "limit") && left >= 2:
			var ok, ok2 bool
			o.offset, ok = command.ParseInt(args[i+1])
			o.count, ok2 = command.ParseInt(args[i+2])
			if !ok || !ok2 {
				return command.ErrNotInt
			}
			i += 2
		case command.Is(args[i], "store") && left >= 1 && !readOnly:
			o.store = true
			i++
		case command.Is(args[i], "by") && left >= 1:
			i++
			o.by, o.byKeys = parsePattern(args[i]), true
			o.keepOrder = o.keepOrder || !o.by.star
		case command.Is(args[i], "get") && left >= 1:
			i++
			o.get = append(o.get, parsePattern(args[i]))
		default:
			return command.ErrSyntax
		}
	}
	return ""
}

// A pattern of BY or GET makes the name of a key of an element, which stands where the pattern has its star.
type pattern struct {
	before, after []byte
	field         []byte // of the hash at that key; nil: the key is a string
	star          bool   // if not, it leads nowhere
	self          bool   // #: the element itself
}

var arrow = []byte("->")

func parsePattern(text []byte) (p pattern) {
	at := bytes.IndexByte(text, '*')
	if at < 0 {
		return pattern{self: len(text) == 1 && text[0] == '#'}
	}
	p = pattern{before: text[:at], after: text[at+1:], star: true}
	if i := bytes.Index(p.after, arrow); i >= 0 && i+len(arrow) < len(p.after) {
		p.after, p.field = p.after[:i], p.after[i+len(arrow):]
	}
	return p
}

// span is a part of sorter.text.
type span struct{ from, to int }

// place is where an element comes in the order: by key, and where those are equal, by sorter.tie.
type place struct {
	key  uint64
	elem int // index
}

// A sorter is one SORT while it runs.
type sorter struct {
	sortOptions
	c         *command.Ctx
	text      []byte  // the elements, and what they are sorted by
	elems     []span  // in the order in which the collection has them
	weights   []span  // of BY ALPHA, by element; from < 0: there is none
	order     []place // the elements in their order; unused with keepOrder
	spare     []place // room for them to move to
	names     []byte  // of keys
	keys      [keyspace.MostAhead]command.Key
	num       [20]byte
	notNumber bool // something to sort by was no number
	tied      bool // elements that are not equal were equal in what they are sorted by
}

// sorters keeps the memory of sorters from one request to the next.
var sorters = sync.Pool{New: func() any { return new(sorter) }}

// keptSortBytes bounds what a sorter keeps of it. That is enough for some 80,000 short elements: giving it to the garbage collector and taking it anew would cost
// far more than to sort them.
const keptSortBytes = 4 << 20

func sortKey(c *command.Ctx, readOnly bool) {
	s := sorters.Get().(*sorter)
	if err := s.parse(c.Args, readOnly); err != "" {
		c.W.Error(err)
	} else {
		s.c = c
		s.run()
	}
	const places = int(unsafe.Sizeof(place{}))
	if cap(s.text)+cap(s.names)+(cap(s.elems)+cap(s.weights))*int(unsafe.Sizeof(span{}))+(cap(s.order)+cap(s.spare))*places > keptSortBytes {
		*s = sorter{}
	}
	s.text, s.elems, s.weights, s.order = s.text[:0], s.elems[:0], s.weights[:0], s.order[:0]
	clear(s.get)
	clear(s.keys[:])
	s.c, s.by, s.notNumber, s.tied = nil, pattern{}, false, false
	sorters.Put(s)
}

func (s *sorter) run() {
	c, k := s.c, &s.c.Keys[0]
	r := c.Find(k)
	n := 0
	if r != 0 {
		switch k.Shard.Type(r) {
		case keyspace.List, keyspace.ZSet:
		case keyspace.Set:
			if s.keepOrder && s.store { // a set has no order that would be the same on a replica
				s.keepOrder, s.alpha, s.byKeys = false, true, false
			}
		default:
			c.W.Error(command.ErrWrongType)
			return
		}
		n = value.Len(k.Shard, r)
	}
	start := int(min(max(s.offset, 0), int64(n)))
	m := n - start
	if s.count >= 0 {
		m = int(min(s.count, int64(m)))
	}
	switch {
	case r == 0:
	case s.keepOrder:
		if m > 0 {
			s.collectPart(k.Shard, r, start, m)
		}
		start = 0
	default:
		s.collect(k.Shard, r, 0, n)
		s.weigh()
		if s.notNumber {
			c.W.Error("ERR One or more scores can't be converted into double")
			return
		}
		s.arrange(start + m)
	}
	if s.store {
		s.storeResult(start, m)
	} else {
		s.reply(start, m)
	}
}

// collectPart copies the m elements from start on, counted in the order of the collection, or from its end with DESC.
func (s *sorter) collectPart(sh *keyspace.Shard, r keyspace.Ref, start, m int) {
	if !s.desc || sh.Type(r) == keyspace.Set {
		s.collect(sh, r, start, m)
		return
	}
	s.collect(sh, r, value.Len(sh, r)-start-m, m)
	slices.Reverse(s.elems)
}

// collect copies m elements from a place on.
func (s *sorter) collect(sh *keyspace.Shard, r keyspace.Ref, from, m int) {
	s.elems = slices.Grow(s.elems, m)
	switch sh.Type(r) {
	case keyspace.List:
		value.EachElementFrom(sh, r, from, func(e []byte) bool { s.add(e); return len(s.elems) < m })
	case keyspace.ZSet:
		value.EachScoredFrom(sh, r, from, func(e []byte, _ float64) bool { s.add(e); return len(s.elems) < m })
	case keyspace.Set:
		value.EachMember(sh, r, func(e []byte) bool {
			if from--; from < 0 {
				s.add(e)
			}
			return len(s.elems) < m
		})
	}
}

func (s *sorter) add(e []byte) {
	at := len(s.text)
	s.text = append(s.text, e...)
	s.elems = append(s.elems, span{at, len(s.text)})
}

func (s *sorter) bytesOf(x span) []byte { return s.text[x.from:x.to] }

// weigh finds what each element is sorted by.
func (s *sorter) weigh() {
	s.order = slices.Grow(s.order, len(s.elems))
	if s.byKeys {
		s.lookUp(len(s.elems), func(i int) (*pattern, []byte) { return &s.by, s.bytesOf(s.elems[i]) }, s.weighOne)
		return
	}
	for _, x := range s.elems {
		s.weighOne(s.bytesOf(x), true)
	}
}

// weighOne says what the next element is sorted by; ok is false when there is nothing.
func (s *sorter) weighOne(w []byte, ok bool) {
	var key uint64
	switch {
	case !s.alpha:
		score := float64(0) // of what is not there
		if ok {
			if score, ok = sortScore(w); !ok {
				s.notNumber = true
			}
		}
		key = coll.ScoreKey(score)
	case !ok:
		s.weights = append(s.weights, span{from: -1})
	default:
		var head [8]byte
		copy(head[:], w)
		key = binary.BigEndian.Uint64(head[:])
		if s.byKeys {
			at := len(s.text)
			s.text = append(s.text, w...)
			s.weights = append(s.weights, span{at, len(s.text)})
		}
	}
	if s.desc {
		key = ^key
	}
	s.order = append(s.order, place{key, len(s.order)})
}

// lookUp calls found with what n pairs of a pattern and an element lead to, one after the other; ok is false when that is nothing. v is good until found
// returns. The keys of some pairs are fetched at once before they are looked up, so that their cache misses overlap.
func (s *sorter) lookUp(n int, pair func(i int) (*pattern, []byte), found func(v []byte, ok bool)) {
	var hashes [keyspace.MostAhead]uint64
	for from := 0; from < n; from += len(hashes) {
		block, m := min(len(hashes), n-from), 0
		s.names = s.names[:0]
		for i := range block {
			if p, e := pair(from + i); p.star {
				at := len(s.names)
				s.names = append(append(append(s.names, p.before...), e...), p.after...)
				k := &s.keys[i]
				k.Name = s.names[at:]
				s.c.Store.Locate(k)
				hashes[m] = k.Hash
				m++
			}
		}
		s.c.Store.KS.Ahead(s.c.DB, hashes[:m])
		for i := range block {
			switch p, e := pair(from + i); {
			case p.self:
				found(e, true)
			case !p.star:
				found(nil, false)
			default:
				found(s.valueAt(&s.keys[i], p.field))
			}
		}
	}
}

// valueAt finds the string at a key, or the field of the hash there. It is good until the next change of the shard, or the next call.
func (s *sorter) valueAt(k *command.Key, field []byte) (val []byte, ok bool) {
	r := s.c.Find(k)
	switch {
	case r == 0:
		return nil, false
	case field == nil && k.Shard.Type(r) == keyspace.String:
		return k.Shard.Value(r), true
	case field != nil && k.Shard.Type(r) == keyspace.Hash:
		if r = s.c.ExpireField(k, r, field); r == 0 {
			return nil, false
		}
		return value.Field(k.Shard, r, field, s.c.FieldNow(), &s.num)
	}
	return nil, false
}

// arrange puts the first m elements of the order in their places.
func (s *sorter) arrange(m int) {
	o := s.order
	if m > len(o)/8 {
		s.sort(o)
		return
	}
	if m == 0 {
		return
	}
	// The first m are a heap with the last of them on top; what comes before that one takes its place.
	top := o[:m]
	for i := m/2 - 1; i >= 0; i-- {
		s.sift(top, i)
	}
	for i := m; i < len(o); i++ {
		if o[i].key <= top[0].key && s.compare(o[i], top[0]) < 0 {
			top[0] = o[i]
			s.sift(top, 0)
		}
	}
	s.sort(top)
}

// fewestByDigits is from how many places on it pays to sort them by the digits of their keys.
const fewestByDigits = 100

// digitBits is the most bits that a digit has: so many places that digits put others at, 2048, are within the first level of the processor's cache.
const digitBits = 11

// sort puts places in order: by the digits of their keys, from the lowest to the highest that are not the same in all of them, and then those that have equal keys
// by comparing.
func (s *sorter) sort(o []place) {
	if len(o) < fewestByDigits {
		slices.SortFunc(o, s.compare)
		return
	}
	differ := uint64(0)
	for i := range o {
		differ |= o[i].key ^ o[0].key
	}
	if differ != 0 {
		low, high := bits.TrailingZeros64(differ), bits.Len64(differ)
		digits := (high - low + digitBits - 1) / digitBits
		width := (high - low + digits - 1) / digits
		s.spare = slices.Grow(s.spare[:0], len(o))[:len(o)]
		from, to := o, s.spare
		for at := range digits {
			byDigit(from, to, low+at*width, width)
			from, to = to, from
		}
		if digits%2 == 1 {
			copy(o, s.spare)
		}
	}
	for i := 0; i < len(o); {
		j := i + 1
		for j < len(o) && o[j].key == o[i].key {
			j++
		}
		if j-i > 1 {
			slices.SortFunc(o[i:j], s.compare)
		}
		i = j
	}
}

// byDigit copies places in the order of one digit of their keys, of so many bits from one on. Those in which it is equal keep their order.
func byDigit(from, to []place, shift, width int) {
	var next [1 << digitBits]uint32
	mask := uint64(1)<<width - 1
	for i := range from {
		next[from[i].key>>shift&mask&(1<<digitBits-1)]++
	}
	at := uint32(0)
	for i := range next[:mask+1] {
		next[i], at = at, at+next[i]
	}
	for _, p := range from {
		n := &next[p.key>>shift&mask&(1<<digitBits-1)]
		to[*n] = p
		*n++
	}
}

// sift lets an element sink to its place in a heap.
func (s *sorter) sift(heap []place, i int) {
	for {
		below := 2*i + 1
		if below >= len(heap) {
			return
		}
		if below+1 < len(heap) && s.compare(heap[below+1], heap[below]) > 0 {
			below++
		}
		if s.compare(heap[below], heap[i]) <= 0 {
			return
		}
		heap[i], heap[below] = heap[below], heap[i]
		i = below
	}
}

func (s *sorter) compare(a, b place) int {
	switch {
	case a.key < b.key:
		return -1
	case a.key > b.key:
		return 1
	}
	d := s.tie(a.elem, b.elem)
	if s.desc {
		return -d
	}
	return d
}

// tie compares two elements whose keys are equal.
func (s *sorter) tie(a, b int) int {
	if len(s.weights) > 0 {
		x, y := s.weights[a], s.weights[b]
		switch {
		case x.from >= 0 && y.from >= 0:
			if d := bytes.Compare(s.bytesOf(x), s.bytesOf(y)); d != 0 {
				return d
			}
		case x.from >= 0:
			return 1
		case y.from >= 0:
			return -1
		}
	}
	d := bytes.Compare(s.bytesOf(s.elems[a]), s.bytesOf(s.elems[b]))
	if d != 0 && len(s.weights) > 0 {
		s.tied = true
	}
	return d
}

// element is the one at a place of the result.
func (s *sorter) element(i int) []byte {
	if !s.keepOrder {
		i = s.order[i].elem
	}
	return s.bytesOf(s.elems[i])
}

// each calls f with the m results from a place on: of every element itself, or what each GET finds for it; ok is false when that is nothing.
func (s *sorter) each(start, m int, f func(v []byte, ok bool)) {
	if g := len(s.get); g > 0 {
		s.lookUp(m*g, func(i int) (*pattern, []byte) { return &s.get[i%g], s.element(start + i/g) }, f)
		return
	}
	for i := start; i < start+m; i++ {
		f(s.element(i), true)
	}
}

func (s *sorter) reply(start, m int) {
	w := s.c.W
	n, done, pos := m*max(1, len(s.get)), 0, len(w.B)
	w.Array(n)
	s.each(start, m, func(v []byte, ok bool) {
		if ok {
			w.Bulk(v)
		} else {
			w.Null()
		}
		if done++; done == replySample {
			if guess := (len(w.B) - pos) * (n - done) / done; guess > largeReply {
				w.B = slices.Grow(w.B, guess+guess/8)
			}
		}
	})
}

const (
	// replySample is after how many results the length of the others is guessed, so that a large reply does not outgrow its memory time and again.
	replySample = 128
	// largeReply is from how many bytes on that pays: memory for less serves many replies.
	largeReply = 128 << 10
)

// storeResult puts the result in the place of whatever the destination holds, and replies its length. Without a result the destination goes.
func (s *sorter) storeResult(start, m int) {
	c, dst := s.c, &s.c.Keys[1]
	if m == 0 {
		if r := c.Peek(dst); r != 0 {
			dst.Shard.Delete(c.DB, dst.Hash, r)
			c.Changed(dst)
		}
		c.W.Int(0)
		return
	}
	b := value.NewBuilder(dst.Shard, c.DB, keyspace.List, &c.Store.Limits)
	s.each(start, m, func(v []byte, _ bool) { b.Push(v) })
	n := b.Len()
	r := dst.Shard.Find(c.DB, dst.Hash, dst.Name)
	r = b.Put(dst.Hash, r, dst.Name, keyspace.NoExpire, c.AccessClock())
	c.ChangedBy(dst, n)
	if s.tied && c.Logged() {
		logList(c, dst, r)
	}
	c.W.Int(int64(n))
}

// effectElements is how many elements a list's commands in the log have at most.
const effectElements = 128

// logList gives commands that make a list what it is now.
func logList(c *command.Ctx, k *command.Key, r keyspace.Ref) {
	c.Effect(delWord, k.Name)
	args := [][]byte{rpushWord, k.Name}
	flush := func() {
		if len(args) > 2 {
			c.Effect(args...)
			args = args[:2]
		}
	}
	value.EachElement(k.Shard, r, func(e []byte) bool {
		if args = append(args, slices.Clone(e)); len(args) == 2+effectElements { // e may be in a buffer that the next one takes
			flush()
		}
		return true
	})
	flush()
}

var delWord, unlinkWord, rpushWord = []byte("DEL"), []byte("UNLINK"), []byte("RPUSH")

// sortScore reads a number as SORT does: all that C's strtod takes, which includes white space before it and hexadecimal. Nothing at all
// is 0. What is too large or too small for a double, and NaN, is no number.
func sortScore(b []byte) (f float64, ok bool) {
	if n, isInt := command.ParseInt(b); isInt {
		return float64(n), true
	}
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	if len(b) == 0 {
		return 0, true
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r') {
		b = b[1:]
	}
	digits := b
	if len(digits) > 0 && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	if len(digits) == 0 || bytes.IndexByte(b, '_') >= 0 {
		return 0, false
	}
	hex := len(digits) > 2 && digits[0] == '0' && digits[1]|0x20 == 'x'
	if hex && !bytes.ContainsAny(digits, "pP") {
		b = append(slices.Clip(b), "p0"...) // which Go wants
	}
	f, err := strconv.ParseFloat(unsafe.String(&b[0], len(b)), 64)
	if err != nil || math.IsNaN(f) {
		return 0, false
	}
	const leastNormal = 0x1p-1022
	if math.Abs(f) < leastNormal && !hex && !zeroText(digits) {
		return 0, false
	}
	return f, true
}

// zeroText reports whether a decimal number has no digit but zeros before its exponent.
func zeroText(digits []byte) bool {
	for _, ch := range digits {
		if ch|0x20 == 'e' {
			break
		}
		if ch >= '1' && ch <= '9' {
			return false
		}
	}
	return true
}
