package geo

import (
	"slices"
	"sync"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
	"tidemark/engine/zset"
)

const perArea = "O(N+log(M)) where N is the number of members in the cells around the shape and M the number of all members"

func countArg(anySince string) command.Arg {
	anyArg := flag("any", "ANY")
	anyArg.Since = anySince
	return command.Arg{Name: "count-block", Type: "block", Flags: command.Optional, Args: []command.Arg{
		{Name: "count", Type: "integer", Token: "COUNT"}, anyArg}}
}

func orderArg() command.Arg { return choice("order", command.Optional, "asc", "ASC", "desc", "DESC") }

func withArgs() []command.Arg {
	return []command.Arg{flag("withcoord", "WITHCOORD"), flag("withdist", "WITHDIST"), flag("withhash", "WITHHASH")}
}

// shapeArgs describe FROMMEMBER or FROMLONLAT, and BYRADIUS or BYBOX.
func shapeArgs() []command.Arg {
	return []command.Arg{
		{Name: "from", Type: "oneof", Args: []command.Arg{
			{Name: "member", Type: "string", Token: "FROMMEMBER"},
			{Name: "fromlonlat", Type: "block", Token: "FROMLONLAT", Args: []command.Arg{arg("longitude", "double"), arg("latitude", "double")}},
		}},
		{Name: "by", Type: "oneof", Args: []command.Arg{
			{Name: "circle", Type: "block", Args: []command.Arg{{Name: "radius", Type: "double", Token: "BYRADIUS"}, unitArg(0)}},
			{Name: "box", Type: "block", Args: []command.Arg{{Name: "width", Type: "double", Token: "BYBOX"}, arg("height", "double"), unitArg(0)}},
		}},
		orderArg(), countArg(""),
	}
}

var upperUnits = [][2]string{{"7.0.0", "Names of units in upper case."}}

func geosearchCommand() *command.Descriptor {
	d := describe("geosearch", "6.2.0", -7, func(c *command.Ctx) { search(c, request{open: true}) },
		"Returns the members within a circle or a box", perArea, append(shapeArgs(), withArgs()...)...)
	d.History = upperUnits
	return d
}

func geosearchstoreCommand() *command.Descriptor {
	d := describe("geosearchstore", "6.2.0", -8, func(c *command.Ctx) { search(c, request{open: true, store: &c.Keys[0]}) },
		"Stores the members within a circle or a box as another sorted set", perArea)
	d.Args = append([]command.Arg{{Name: "destination", Type: "key"}, {Name: "source", Type: "key", KeySpec: 1}}, shapeArgs()...)
	d.Args = append(d.Args, flag("storedist", "STOREDIST"))
	d.Keys = []command.KeySpec{{Flags: command.KeyOW | command.KeyUpdate, Begin: 1, Step: 1}, {Flags: read, Begin: 2, Step: 1}}
	d.Flags, d.Log = command.Write|command.DenyOOM, command.LogRequest
	d.History = upperUnits
	return d
}

// radius describes a command of the GEORADIUS family, whose options begin at argument base.
func radius(name, since, summary, by string, base int, write bool, args ...command.Arg) *command.Descriptor {
	anySince := ""
	if base == 6 {
		anySince = "6.2.0"
	}
	args = append(append(args, arg("radius", "double"), unitArg(0)), withArgs()...)
	args = append(args, countArg(anySince), orderArg())
	q := request{base: base, mayStore: write}
	d := describe(name, since, -base, func(c *command.Ctx) { search(c, q) }, summary, perArea, args...)
	d.History = append([][2]string{{"6.2.0", "`ANY`."}}, upperUnits...)
	d.DocFlags, d.Deprecated, d.ReplacedBy = []string{"deprecated"}, "6.2.0", "`GEOSEARCH` with the "+by
	if write {
		d.ReplacedBy = "`GEOSEARCH` and `GEOSEARCHSTORE` with the " + by
		to := command.KeySpec{Flags: command.KeyOW | command.KeyUpdate, Keyword: "STORE", From: base, Step: 1}
		dist := to
		dist.Keyword = "STOREDIST"
		d.Keys = append(d.Keys, to, dist)
		d.Args = append(d.Args, command.Arg{Name: "store", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
			{Name: "storekey", Display: "key", Type: "key", KeySpec: 1, Token: "STORE"}, {Name: "storedistkey", Display: "key", Type: "key", KeySpec: 2, Token: "STOREDIST"}}})
		d.Flags, d.Log = command.Write|command.DenyOOM|command.MovableKeys, command.LogRequest
	}
	return d
}

const (
	byRadius = "`BYRADIUS` argument"
	byMember = "`BYRADIUS` and `FROMMEMBER` arguments"
)

func georadiusCommand() *command.Descriptor {
	return radius("georadius", "3.2.0", "Returns or stores the members within a circle around a position", byRadius, 6, true,
		arg("longitude", "double"), arg("latitude", "double"))
}

func georadiusROCommand() *command.Descriptor {
	return radius("georadius_ro", "3.2.10", "Returns the members within a circle around a position", byRadius, 6, false,
		arg("longitude", "double"), arg("latitude", "double"))
}

func georadiusbymemberCommand() *command.Descriptor {
	return radius("georadiusbymember", "3.2.0", "Returns or stores the members within a circle around a member", byMember, 5, true, memberArg)
}

func georadiusbymemberROCommand() *command.Descriptor {
	return radius("georadiusbymember_ro", "3.2.10", "Returns the members within a circle around a member", byMember, 5, false, memberArg)
}

// A request is what a search asks for.
type request struct {
	open     bool // GEOSEARCH: shape and middle are options
	base     int  // otherwise: where the options begin
	mayStore bool // STORE and STOREDIST are options

	src   *command.Key
	r     keyspace.Ref // of src; 0: no such key
	store *command.Key // where the result goes, or nil
	shape shape
	count int64 // 0: all
	any   bool
	order order
	with  struct{ coord, dist, hash bool }
	dists bool // STOREDIST
}

type order uint8

const (
	unsorted order = iota
	ascending
	descending
)

func search(c *command.Ctx, q request) {
	if !q.parse(c) {
		return
	}
	if q.r == 0 {
		if q.store != nil {
			q.put(c, nil)
		} else {
			c.W.Array(0)
		}
		return
	}
	if q.count > 0 && q.order == unsorted && !q.any {
		q.order = ascending
	}
	f := pool.Get().(*found)
	q.collect(f)
	f.sort(q.order, q.count)
	if q.store != nil {
		q.put(c, f)
	} else {
		q.reply(c, f)
	}
	f.release()
}

// parse reads the request. If it is wrong, the error has been replied.
func (q *request) parse(c *command.Ctx) (ok bool) {
	q.src = &c.Keys[0]
	if q.store != nil {
		q.src = &c.Keys[1]
	}
	if q.r, ok = c.FindTyped(q.src, keyspace.ZSet); !ok {
		return false
	}
	i := q.base
	switch {
	case q.open:
		i = q.src.Arg + 1
	case q.base == 6:
		if !q.fromPosition(c, 2) || !q.circle(c, 4) {
			return false
		}
	case q.r != 0: // a radius from a member that cannot be there is not looked at
		if !q.fromMember(c, 2) || !q.circle(c, 3) {
			return false
		}
	}
	var member, place, circle, box bool
	for ; i < len(c.Args); i++ {
		a, more := c.Args[i], len(c.Args)-1-i
		switch {
		case command.Is(a, "withdist"):
			q.with.dist = true
		case command.Is(a, "withhash"):
			q.with.hash = true
		case command.Is(a, "withcoord"):
			q.with.coord = true
		case command.Is(a, "any"):
			q.any = true
		case command.Is(a, "asc"):
			q.order = ascending
		case command.Is(a, "desc"):
			q.order = descending
		case command.Is(a, "count") && more >= 1:
			i++
			if q.count, ok = c.Int(i); !ok {
				return false
			}
			if q.count <= 0 {
				c.W.Error("ERR COUNT must be > 0")
				return false
			}
		case q.mayStore && (command.Is(a, "store") || command.Is(a, "storedist")) && more >= 1:
			i++
			q.dists = len(a) > len("store")
			if q.store = keyAt(c, i); q.store == nil {
				c.W.Error(command.ErrSyntax)
				return false
			}
		case q.open && command.Is(a, "frommember") && more >= 1 && !place:
			i++
			if member = true; q.r != 0 && !q.fromMember(c, i) {
				return false
			}
		case q.open && command.Is(a, "fromlonlat") && more >= 2 && !member:
			if place = true; !q.fromPosition(c, i+1) {
				return false
			}
			i += 2
		case q.open && command.Is(a, "byradius") && more >= 2 && !box:
			if circle = true; !q.circle(c, i+1) {
				return false
			}
			i += 2
		case q.open && command.Is(a, "bybox") && more >= 3 && !circle:
			if box = true; !q.box(c, i+1) {
				return false
			}
			i += 3
		case q.open && q.store != nil && command.Is(a, "storedist"):
			q.dists = true
		default:
			c.W.Error(command.ErrSyntax)
			return false
		}
	}
	switch {
	case q.store != nil && (q.with.coord || q.with.dist || q.with.hash):
		who := "STORE option in GEORADIUS"
		if q.open {
			who = "GEOSEARCHSTORE"
		}
		c.W.Error("ERR " + who + " is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
	case q.open && !member && !place:
		c.W.Error("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + string(c.Args[0]))
	case q.open && !circle && !box:
		c.W.Error("ERR exactly one of BYRADIUS and BYBOX can be specified for " + string(c.Args[0]))
	case q.any && q.count == 0:
		c.W.Error("ERR the ANY argument requires COUNT argument")
	default:
		return true
	}
	return false
}

// keyAt is the key that argument i is, or nil: STORE was given more than once, and only the first is known as a key.
func keyAt(c *command.Ctx, i int) *command.Key {
	for j := range c.Keys {
		if c.Keys[j].Arg == i {
			return &c.Keys[j]
		}
	}
	return nil
}

func (q *request) fromPosition(c *command.Ctx, i int) bool {
	lon, lat, ok := parsePosition(c, i)
	if ok {
		q.shape.from = pointAt(lon, lat)
	}
	return ok
}

func (q *request) fromMember(c *command.Ctx, i int) bool {
	score, ok := value.Score(q.src.Shard, q.r, c.Args[i])
	if !ok {
		c.W.Error("ERR could not decode requested zset member")
		return false
	}
	q.shape.from = pointAt(position(score))
	return true
}

func (q *request) circle(c *command.Ctx, i int) (ok bool) {
	s := &q.shape
	s.box = false
	if s.radius, ok = zset.ParseDouble(c.Args[i]); !ok {
		c.W.Error("ERR need numeric radius")
		return false
	}
	if s.radius < 0 {
		c.W.Error("ERR radius cannot be negative")
		return false
	}
	s.unit, ok = parseUnit(c, c.Args[i+1])
	s.radius *= s.unit
	return ok
}

func (q *request) box(c *command.Ctx, i int) (ok bool) {
	s := &q.shape
	s.box = true
	if s.width, ok = zset.ParseDouble(c.Args[i]); !ok {
		c.W.Error("ERR need numeric width")
		return false
	}
	if s.height, ok = zset.ParseDouble(c.Args[i+1]); !ok {
		c.W.Error("ERR need numeric height")
		return false
	}
	if s.width < 0 || s.height < 0 {
		c.W.Error("ERR height or width cannot be negative")
		return false
	}
	s.unit, ok = parseUnit(c, c.Args[i+2])
	s.width *= s.unit
	s.height *= s.unit
	return ok
}

// found is what a search has found. It is kept for the next search.
type found struct {
	hits    []hit
	members []byte
	buf     [20]byte // of EachBetween
}

type hit struct {
	score, dist float64 // dist is in m, if it was wanted
	from, to    int     // of the member, in members
}

var pool = sync.Pool{New: func() any { return new(found) }}

// Memory for this much is kept.
const (
	keptHits  = 1 << 12
	keptBytes = 1 << 18
)

func (f *found) release() {
	if cap(f.hits) > keptHits || cap(f.members) > keptBytes {
		return
	}
	f.hits, f.members = f.hits[:0], f.members[:0]
	pool.Put(f)
}

func (f *found) member(h *hit) []byte { return f.members[h.from:h.to] }

// collect searches.
func (q *request) collect(f *found) {
	s := &q.shape
	s.prepare()
	dist := q.with.dist || q.order != unsorted || q.dists
	cells := s.cells()
	last := 0
	for i, at := range cells {
		// Around a large shape the cells on both sides may be the same. As in redis-server, one that is the middle's is not noticed.
		if at.steps == 0 || last != 0 && at == cells[last] {
			continue
		}
		last = i
		lo, hi := at.scores()
		if !zset.EachBetween(q.src.Shard, q.r, lo, hi, &f.buf, func(m []byte, score float64) bool {
			lon, lat := position(score)
			d, ok := s.test(lon, lat, dist)
			if ok {
				from := len(f.members)
				f.members = append(f.members, m...)
				f.hits = append(f.hits, hit{score, d, from, len(f.members)})
			}
			return !q.any || int64(len(f.hits)) < q.count
		}) {
			return
		}
	}
}

// sort puts what was found in order and leaves count of it, all if that is 0. What is equally far stays in the order of the search.
func (f *found) sort(o order, count int64) {
	n := len(f.hits)
	if count > 0 {
		n = int(min(int64(n), count))
	}
	compare := func(a, b *hit) int {
		switch {
		case o == ascending && a.dist < b.dist, o == descending && a.dist > b.dist:
			return -1
		case a.dist != b.dist:
			return 1
		}
		return a.from - b.from
	}
	if o != unsorted {
		if n < len(f.hits)/4 {
			nearest(f.hits, n, compare)
			f.hits = f.hits[:n]
		}
		slices.SortFunc(f.hits, func(a, b hit) int { return compare(&a, &b) })
	}
	f.hits = f.hits[:n]
}

// nearest moves the n hits that come first to the front, in any order: those at the front are a heap whose top comes last of them.
func nearest(h []hit, n int, compare func(a, b *hit) int) {
	down := func(i int) {
		for {
			j := 2*i + 1
			if j >= n {
				return
			}
			if j+1 < n && compare(&h[j+1], &h[j]) > 0 {
				j++
			}
			if compare(&h[j], &h[i]) <= 0 {
				return
			}
			h[i], h[j] = h[j], h[i]
			i = j
		}
	}
	for i := n/2 - 1; i >= 0; i-- {
		down(i)
	}
	for i := n; i < len(h); i++ {
		if compare(&h[i], &h[0]) < 0 {
			h[i], h[0] = h[0], h[i]
			down(0)
		}
	}
}

func (q *request) reply(c *command.Ctx, f *found) {
	extra := 0
	for _, with := range []bool{q.with.dist, q.with.hash, q.with.coord} {
		if with {
			extra++
		}
	}
	c.W.Array(len(f.hits))
	for i := range f.hits {
		h := &f.hits[i]
		if extra > 0 {
			c.W.Array(1 + extra)
		}
		c.W.Bulk(f.member(h))
		if q.with.dist {
			writeDistance(c, h.dist/q.shape.unit)
		}
		if q.with.hash {
			c.W.Int(int64(scoreBits(h.score)))
		}
		if q.with.coord {
			writePosition(c, h.score)
		}
	}
}

// put stores what was found, nil being nothing, whatever stood there. When it is nothing, the key goes.
func (q *request) put(c *command.Ctx, f *found) {
	k := q.store
	old := c.Peek(k)
	if f == nil || len(f.hits) == 0 {
		if old != 0 {
			k.Shard.Delete(c.DB, k.Hash, old)
			c.Changed(k)
		}
		c.W.Int(0)
		return
	}
	b := value.NewBuilder(k.Shard, c.DB, keyspace.ZSet, &c.Store.Limits)
	for i := range f.hits {
		h := &f.hits[i]
		if q.dists {
			h.score = h.dist / q.shape.unit
		}
		b.AddScored(f.member(h), h.score)
	}
	n := b.Len()
	b.Put(k.Hash, old, k.Name, keyspace.NoExpire, c.AccessClock())
	c.ChangedBy(k, n)
	if q.dists && c.Logged() {
		logScores(c, k.Name, f)
	}
	c.W.Int(int64(len(f.hits)))
}

var (
	delWord  = []byte("DEL")
	zaddWord = []byte("ZADD")
)

// logScores logs the effect of storing distances.
func logScores(c *command.Ctx, key []byte, f *found) {
	c.Effect(delWord, key)
	args := make([][]byte, 0, 2+2*len(f.hits))
	args = append(args, zaddWord, key)
	for i := range f.hits {
		h := &f.hits[i]
		args = append(args, value.AppendScore(nil, h.score), f.member(h))
	}
	c.Effect(args...)
}
