package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// fieldsOf lists the fields of a hash with their expiry.
func fieldsOf(s *keyspace.Shard, r keyspace.Ref) (out []string) {
	value.EachFieldAt(s, r, func(f, v []byte, at int64) bool {
		out = append(out, fmt.Sprintf("%s=%s@%d", f, v, at))
		return true
	})
	slices.Sort(out)
	return out
}

// The bytes are those that Redis 7.4 writes, by its format's description: the fields a (1, until 2000), b (2), c (3, until 1500).
func expiringPayloads() map[string][]byte {
	ms := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	str := func(p string) []byte { return appendString(nil, []byte(p), false) }
	triples := packed.New(nil).Append([]byte("c")).AppendInt(3).AppendInt(1500).Append([]byte("a")).AppendInt(1).AppendInt(2000).Append([]byte("b")).AppendInt(2).AppendInt(0)
	table := func(a, b, c []byte) []byte {
		return slices.Concat([]byte{3}, a, str("a"), str("1"), b, str("b"), str("2"), c, str("c"), str("3"))
	}
	return map[string][]byte{
		"packed":            dumpOf(typeHashExpiryPacked, append(ms(1500), str(string(triples))...)),
		"packed, early":     dumpOf(typeHashExpiryPackedOld, str(string(triples))),
		"table":             dumpOf(typeHashExpiry, append(ms(1500), table(appendLength(nil, 501), []byte{0}, []byte{1})...)),
		"table, early":      dumpOf(typeHashExpiryOld, table(appendLength(nil, 2000), []byte{0}, appendLength(nil, 1500))),
		"table, far behind": dumpOf(typeHashExpiry, append(ms(1), table(appendLength(nil, 2000), []byte{0}, appendLength(nil, 1500))...)),
	}
}

// TestExpiringFields reads each form of a hash with fields that expire, and writes it again.
func TestExpiringFields(t *testing.T) {
	want := []string{"a=1@2000", "b=2@-1", "c=3@1500"}
	for name, payload := range expiringPayloads() {
		for _, entries := range []int64{512, 0} {
			w := newShardWorld(t)
			w.lim.HashEntries.Store(entries)
			r, err := w.restore("k", payload)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			enc := keyspace.ListPackEx
			if entries == 0 {
				enc = keyspace.HashTable
			}
			if got := fieldsOf(w.s, r); !slices.Equal(got, want) || w.s.Encoding(r) != enc || w.s.FieldsDue(r) != 1500 {
				t.Errorf("%s: %q as %v, due %d", name, got, w.s.Encoding(r), w.s.FieldsDue(r))
			}
			p := AppendDump(nil, w.s, r, false)
			if v := binary.LittleEndian.Uint16(p[len(p)-dumpFooter:]); v != VersionFieldExpiry {
				t.Errorf("%s: DUMP is of version %d", name, v)
			}
			if name == "packed" && entries > 0 && !bytes.Equal(p[:len(p)-dumpFooter], payload[:len(payload)-dumpFooter]) {
				t.Errorf("written as %x, Redis writes %x", p, payload)
			}
			if err := w.s.Check(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestVersionByFields: what is written is of version 12 only while a field expires.
func TestVersionByFields(t *testing.T) {
	for _, entries := range []int64{512, 0} {
		w := newShardWorld(t)
		w.lim.HashEntries.Store(entries)
		b := value.NewBuilder(w.s, 0, keyspace.Hash, &w.lim)
		b.AddField([]byte("a"), []byte("1"))
		b.AddFieldUntil([]byte("b"), []byte("2"), 5000)
		key := []byte("k")
		h := w.ks.Hash(key)
		r := b.Put(h, 0, key, keyspace.NoExpire, 0)
		file := save(t, w.ks, &Encoder{}, SaveOptions{Checksum: true})
		if !strings.HasPrefix(string(file), "REDIS0012") || VersionOf(w.ks) != 12 {
			t.Errorf("%d: %.9q", entries, file)
		}
		d := NewDecoder(bytes.NewReader(file))
		found := false
		if err := d.Each(func(items []Item) error {
			for _, it := range items {
				found = found || it.Kind == KindEntry && it.FieldsExpire
			}
			return nil
		}); err != nil || !found {
			t.Errorf("%d: %v, found %v", entries, err, found)
		}
		// The last field that expires goes; a ListPackEx stays one, and is written as any other.
		r, gone := value.RemoveDue(w.s, 0, h, r, 5000, 10, func([]byte) {})
		file = save(t, w.ks, &Encoder{}, SaveOptions{Checksum: true})
		if gone || !strings.HasPrefix(string(file), "REDIS0010") {
			t.Errorf("%d: afterwards %.9q", entries, file)
		}
		p := AppendDump(nil, w.s, r, false)
		if v := binary.LittleEndian.Uint16(p[len(p)-dumpFooter:]); v != Version {
			t.Errorf("%d: DUMP is of version %d", entries, v)
		}
		if r, err := w.restore("again", p); err != nil || !slices.Equal(fieldsOf(w.s, r), []string{"a=1@-1"}) {
			t.Errorf("%d: %v", entries, err)
		}
		if err := w.s.Check(); err != nil {
			t.Error(err)
		}
	}
}

// TestBadExpiringFields: valid checksums around fields that are not.
func TestBadExpiringFields(t *testing.T) {
	w := newShardWorld(t)
	ms := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	str := func(p []byte) []byte { return appendString(nil, p, false) }
	f := func(at []byte, name string) []byte {
		return slices.Concat(at, str([]byte(name)), str([]byte("v")))
	}
	list := func(build func(l packed.List) packed.List) []byte {
		return dumpOf(typeHashExpiryPacked, append(ms(1), str(build(packed.New(nil)))...))
	}
	for name, payload := range map[string][]byte{
		"no fields":            dumpOf(typeHashExpiry, append(ms(1), 0)),
		"cut":                  dumpOf(typeHashExpiry, ms(1)[:5]),
		"earliest too late":    dumpOf(typeHashExpiry, slices.Concat(ms(1<<60), []byte{1}, f([]byte{1}, "a"))),
		"too late":             dumpOf(typeHashExpiry, slices.Concat(ms(1<<48-1), []byte{1}, f([]byte{2}, "a"))),
		"too late, early form": dumpOf(typeHashExpiryOld, slices.Concat([]byte{1}, f(appendLength(nil, 1<<48), "a"))),
		"field twice":          dumpOf(typeHashExpiry, slices.Concat(ms(1), []byte{2}, f([]byte{1}, "a"), f([]byte{0}, "a"))),
		"packed, no fields":    list(func(l packed.List) packed.List { return l }),
		"packed, pairs":        list(func(l packed.List) packed.List { return l.AppendInt(1).AppendInt(2) }),
		"packed, text":         list(func(l packed.List) packed.List { return l.AppendInt(1).AppendInt(2).Append([]byte("foo")) }),
		"packed, negative":     list(func(l packed.List) packed.List { return l.AppendInt(1).AppendInt(2).AppendInt(-5) }),
		"packed, too late":     list(func(l packed.List) packed.List { return l.AppendInt(1).AppendInt(2).AppendInt(1 << 48) }),
		"packed, twice": list(func(l packed.List) packed.List {
			return l.AppendInt(1).AppendInt(2).AppendInt(5).AppendInt(1).AppendInt(2).AppendInt(5)
		}),
		"packed, out of order": list(func(l packed.List) packed.List {
			return l.AppendInt(1).AppendInt(2).AppendInt(6).AppendInt(2).AppendInt(2).AppendInt(5)
		}),
		"packed, none in front": list(func(l packed.List) packed.List {
			return l.AppendInt(1).AppendInt(2).AppendInt(0).AppendInt(2).AppendInt(2).AppendInt(5)
		}),
	} {
		if _, err := w.restore("k", payload); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
	if w.ks.Used() != 0 {
		t.Errorf("%d bytes are left of what was refused", w.ks.Used())
	}
}

// TestUnorderedFieldsInAFile: a file whose fields are not in order is read all the same.
func TestUnorderedFieldsInAFile(t *testing.T) {
	l := packed.New(nil).Append([]byte("a")).AppendInt(1).AppendInt(0).Append([]byte("b")).AppendInt(2).AppendInt(9).Append([]byte("c")).AppendInt(3).AppendInt(7)
	file := AppendHeader(nil, VersionFieldExpiry)
	file = appendString(append(file, typeHashExpiryPacked), []byte("k"), false)
	file = appendString(binary.LittleEndian.AppendUint64(file, 7), l, false)
	file = AppendFooter(file, 0, false)
	w := newShardWorld(t)
	err := NewDecoder(bytes.NewReader(file)).Each(func(items []Item) error {
		var ld Loader
		for i := range items {
			if it := &items[i]; it.Kind == KindEntry {
				if err := ld.Begin(w.s, 0, &w.lim, it); err != nil {
					return err
				}
				r := ld.Put(w.ks.Hash(it.Key), 0, it.Key, keyspace.NoExpire, 0)
				if got := fieldsOf(w.s, r); !slices.Equal(got, []string{"a=1@-1", "b=2@9", "c=3@7"}) || w.s.FieldsDue(r) != 7 || !value.InOrder(w.s.Triples(r)) {
					t.Errorf("%q", got)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
}
