package rdb

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"sync/atomic"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// A Loader makes a value of the parts that a Decoder gives. The value belongs to no key until Put.
type Loader struct {
	s      *keyspace.Shard
	db     int
	lim    *value.Limits
	typ    keyspace.Type
	enc    keyspace.Encoding // of val
	val    []byte            // a string, or a small collection that came in one part: a view of the item
	stream streamLoader      // a stream
	make   *value.Builder    // everything else
}

var (
	errTwice   = errors.New("an element stands twice in a collection")
	errOddPart = errors.New("BUG: rdb: a part in a form that its type does not have")
)

// Begin takes the first part of a value. The shard must be locked; the same holds for Add, Put and Discard.
func (l *Loader) Begin(s *keyspace.Shard, db int, lim *value.Limits, it *Item) error {
	*l = Loader{s: s, db: db, lim: lim, typ: it.Type}
	if it.Type == keyspace.String {
		l.enc, l.val = value.StringEncoding(it.Value), it.Value
		return nil
	}
	if it.Type == keyspace.Stream {
		l.beginStream()
		return l.addStream(it)
	}
	if it.Last && l.small(it) {
		return nil
	}
	l.make = value.NewBuilder(s, db, it.Type, lim)
	return l.Add(it)
}

// small takes a collection as it is, if it is small.
func (l *Loader) small(it *Item) bool {
	switch it.Form {
	case FormIntset:
		l.enc, l.val = keyspace.IntSet, it.Value
		return int64(intset.Set(it.Value).Len()) <= l.lim.SetIntset.Load()
	case FormPacked:
	default:
		return false
	}
	l.enc, l.val = keyspace.ListPack, it.Value
	n := int64(packed.List(it.Value).Len())
	if it.FieldsExpire {
		l.enc = keyspace.ListPackEx
		return n/3 <= l.lim.HashEntries.Load() && shortFields(it.Value, &l.lim.HashValue) && value.InOrder(it.Value)
	}
	switch it.Type {
	case keyspace.List:
		return l.lim.SmallList(int(n), len(it.Value))
	case keyspace.Hash:
		return n/2 <= l.lim.HashEntries.Load() && short(it.Value, &l.lim.HashValue)
	case keyspace.ZSet:
		return n/2 <= l.lim.ZSetEntries.Load() && short(it.Value, &l.lim.ZSetValue)
	}
	return n <= l.lim.SetEntries.Load() && short(it.Value, &l.lim.SetValue)
}

// short reports whether no element is longer than most.
func short(l packed.List, most *atomic.Int64) bool {
	limit := most.Load()
	if int64(len(l)) <= limit { // all together are not
		return true
	}
	var buf [20]byte
	for at := packed.HeaderBytes; !l.AtEnd(at); at = l.Next(at) {
		if int64(len(l.Text(at, &buf))) > limit {
			return false
		}
	}
	return true
}

// shortFields is short of a ListPackEx, whose expiries count for nothing.
func shortFields(l packed.List, most *atomic.Int64) bool {
	limit := most.Load()
	short := true
	value.EachTriple(l, func(f, v []byte, _ int64) bool {
		short = int64(max(len(f), len(v))) <= limit
		return short
	})
	return short
}

// Add takes a further part. After an error Discard must follow.
func (l *Loader) Add(it *Item) (err error) {
	b := l.make
	switch {
	case l.stream.c != nil:
		err = l.addStream(it)
	case it.Form == FormIntset:
		set := intset.Set(it.Value)
		var buf [20]byte
		for i := range set.Len() {
			b.AddMember(strconv.AppendInt(buf[:0], set.At(i), 10))
		}
	case it.Type == keyspace.List && it.Form == FormPacked:
		b.PushPacked(it.Value, packed.List(it.Value).Len())
	case it.Form == FormPacked && it.FieldsExpire:
		value.EachTriple(it.Value, func(f, v []byte, expireAt int64) bool {
			if !b.AddFieldUntil(f, v, expireAt) {
				err = errTwice
			}
			return err == nil
		})
	case it.Form == FormPacked:
		list := packed.List(it.Value)
		var bufs [2][20]byte
		for at := packed.HeaderBytes; !list.AtEnd(at) && err == nil; at = list.Next(at) {
			e := list.Text(at, &bufs[0])
			fresh := true
			switch it.Type {
			case keyspace.Set:
				fresh = b.AddMember(e)
			case keyspace.ZSet:
				at = list.Next(at)
				fresh = b.AddScored(e, value.PackedScore(list, at))
			case keyspace.Hash:
				at = list.Next(at)
				fresh = b.AddField(e, list.Text(at, &bufs[1]))
			}
			if !fresh {
				err = errTwice
			}
		}
	case it.Form == FormElems:
		for i := 0; i < len(it.Elems) && err == nil; i++ {
			e := it.Elems[i]
			fresh := true
			switch it.Type {
			case keyspace.List:
				b.Push(e)
			case keyspace.Set:
				fresh = b.AddMember(e)
			case keyspace.ZSet:
				i++
				fresh = b.AddScored(e, math.Float64frombits(binary.LittleEndian.Uint64(it.Elems[i])))
			case keyspace.Hash:
				i++
				if !it.FieldsExpire {
					fresh = b.AddField(e, it.Elems[i])
					break
				}
				i++
				at := int64(binary.LittleEndian.Uint64(it.Elems[i]))
				if at == 0 {
					at = keyspace.NoExpire
				}
				fresh = b.AddFieldUntil(e, it.Elems[i-1], at)
			}
			if !fresh {
				err = errTwice
			}
		}
	default:
		err = errOddPart
	}
	return err
}

// Put stores the value under a key, whatever stood there: r is what Find returned for it (0: nothing).
func (l *Loader) Put(h uint64, r keyspace.Ref, key []byte, expireAt int64, access uint32) keyspace.Ref {
	if l.stream.c != nil {
		return l.s.Attach(l.stream.c, h, r, key, expireAt, access)
	}
	if l.make != nil {
		return l.make.Put(h, r, key, expireAt, access)
	}
	if l.enc == keyspace.ListPackEx {
		return l.s.PutTriples(l.db, h, r, key, l.val, expireAt, access)
	}
	return l.s.Put(l.db, h, r, key, l.typ, l.enc, l.val, expireAt, access)
}

// Discard drops what was made.
func (l *Loader) Discard() {
	if l.stream.c != nil {
		l.s.Discard(l.stream.c)
	}
	if l.make != nil {
		l.make.Discard()
	}
}
