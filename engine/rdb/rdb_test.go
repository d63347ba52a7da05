package rdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"tidemark/engine/keyspace"
)

func TestCRC64(t *testing.T) {
	// The check value of CRC-64/Jones as Redis uses it.
	if c := CRC64(0, []byte("123456789")); c != 0xe9c6d914c4b8d9ca {
		t.Errorf("CRC64 of 123456789 is %016x", c)
	}
	p := make([]byte, 1000)
	for i := range p {
		p[i] = byte(i * i)
	}
	whole := CRC64(0, p)
	for cut := range p {
		if c := CRC64(CRC64(0, p[:cut]), p[cut:]); c != whole {
			t.Fatalf("cut at %d: %016x, whole %016x", cut, c, whole)
		}
	}
}

// samples are strings of all encodings.
func samples(rnd *rand.Rand) [][]byte {
	out := [][]byte{{}, []byte("0"), []byte("-0"), []byte("00"), []byte("007"), []byte("+1"), []byte("-"), []byte("2147483647"), []byte("2147483648"),
		[]byte("-2147483648"), []byte("-2147483649"), []byte("127"), []byte("128"), []byte("-128"), []byte("-129"), []byte("32767"),
		[]byte("32768"), []byte("12345678901"), []byte("9223372036854775807"), []byte("1 "), []byte("a")}
	for _, n := range []int{11, 12, 19, 20, 21, 63, 64, 65, 255, 256, 257, 8191, 8192, 8193, 16383, 16384, 70000, 1 << 20} {
		random := make([]byte, n)
		for i := range random {
			random[i] = byte(rnd.Uint32())
		}
		words := make([]byte, 0, n+10)
		for len(words) < n {
			words = append(words, [...]string{"the ", "quick ", "brown ", "fox "}[rnd.IntN(4)]...)
		}
		mixed := append(bytes.Clone(random[:n/2]), random[:n-n/2]...)
		out = append(out, random, words[:n], mixed, make([]byte, n), []byte(strings.Repeat("ab", n)[:n]))
	}
	return out
}

func TestLZF(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, p := range samples(rnd) {
		for _, limit := range []int{len(p) - 4, len(p) + len(p)/16 + 16} {
			c, ok := appendLZF([]byte("before"), p, limit)
			if !ok {
				if limit > len(p) {
					t.Errorf("%d bytes do not fit %d compressed", len(p), limit)
				}
				continue
			}
			if string(c[:6]) != "before" || len(c)-6 >= max(limit, 1) && len(p) > 0 {
				t.Fatalf("%d bytes became %d with a limit of %d", len(p), len(c)-6, limit)
			}
			q, ok := expandLZF([]byte("before"), c[6:], len(p))
			if !ok || !bytes.Equal(q[6:], p) {
				t.Fatalf("%d bytes do not survive", len(p))
			}
		}
	}
}

type kv struct {
	db       int
	key, val string
	at       int64
}

func fill(t *testing.T, ks *keyspace.Keyspace, n int) map[kv]bool {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 4))
	vals := samples(rnd)
	want := map[kv]bool{}
	for i := range n {
		e := kv{rnd.IntN(ks.Databases()), fmt.Sprint("key:", i), string(vals[rnd.IntN(len(vals))]), keyspace.NoExpire}
		switch {
		case i < 2*len(vals):
			e.val = string(vals[i/2])
		case len(e.val) > 10000:
			e.val = e.val[:100]
		}
		switch i % 7 {
		case 0:
			e.key = fmt.Sprint(i)
		case 1:
			e.at = 4102444800000 + int64(i)
		case 2:
			e.key = strings.Repeat(e.key, 1+i%300)
		}
		k := []byte(e.key)
		h := ks.Hash(k)
		s := ks.Shard(ks.ShardIndex(h))
		s.PutString(e.db, h, 0, k, []byte(e.val), keyspace.Raw, e.at, 0)
		want[e] = true
	}
	return want
}

func save(t *testing.T, ks *keyspace.Keyspace, e *Encoder, o SaveOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	ks.LockAll()
	sn := Begin(ks, e)
	ks.UnlockAll()
	defer sn.Close()
	n, err := Save(&b, ks, sn, o)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("Save: %d of %d bytes, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

// load decodes everything.
func load(r io.Reader) (got map[kv]bool, aux map[string]string, d *Decoder, err error) {
	got, aux = map[kv]bool{}, map[string]string{}
	d = NewDecoder(r)
	for {
		it, err := d.Next()
		if err == io.EOF {
			return got, aux, d, nil
		}
		if err != nil {
			return got, aux, d, err
		}
		switch it.Kind {
		case KindEntry:
			got[kv{it.DB, string(it.Key), string(it.Value), it.ExpireAt}] = true
		case KindAux:
			aux[string(it.Key)] = string(it.Value)
		}
	}
}

func compare(t *testing.T, got, want map[kv]bool) {
	t.Helper()
	for e := range want {
		if !got[e] {
			t.Fatalf("key %.40q of database %d (%d bytes, expiry %d) is missing or different", e.key, e.db, len(e.val), e.at)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
}

func TestSaveAndLoad(t *testing.T) {
	ks := keyspace.New(keyspace.Options{Shards: 4, Databases: 5})
	defer ks.Close()
	want := fill(t, ks, 5000)
	for _, compress := range []bool{true, false} {
		for _, sum := range []bool{true, false} {
			e := &Encoder{Compress: compress, Idle: func(uint32) uint64 { return 77 }}
			file := save(t, ks, e, SaveOptions{Aux: []Aux{{"redis-ver", "7.4.0"}, {"redis-bits", "64"}}, Checksum: sum})
			tail := "*1\r\n$4\r\nPING\r\n"
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(string(file) + tail), "halves": iotest.HalfReader(strings.NewReader(string(file) + tail)),
				"data with EOF": iotest.DataErrReader(strings.NewReader(string(file) + tail)),
			} {
				got, aux, d, err := load(r)
				if err != nil {
					t.Fatal(name, err)
				}
				compare(t, got, want)
				if aux["redis-ver"] != "7.4.0" || aux["redis-bits"] != "64" {
					t.Errorf("aux %v", aux)
				}
				rest, _ := io.ReadAll(io.MultiReader(bytes.NewReader(bytes.Clone(d.Buffered())), r))
				if d.Offset() != int64(len(file)) || string(rest) != tail {
					t.Errorf("%s: ends at %d of %d, then %q", name, d.Offset(), len(file), rest)
				}
			}
			if sum {
				bad := bytes.Clone(file)
				bad[len(bad)-1]++
				var fe *FormatError
				if _, _, _, err := load(bytes.NewReader(bad)); !errors.As(err, &fe) || !strings.Contains(err.Error(), "checksum") {
					t.Errorf("a damaged checksum gives %v", err)
				}
			}
		}
	}
}

// TestEach: batches give what Next gives, large values included, and end with the first error of file or callback.
func TestEach(t *testing.T) {
	ks := keyspace.New(keyspace.Options{Shards: 4, Databases: 5})
	defer ks.Close()
	want := fill(t, ks, 3000)
	file := save(t, ks, &Encoder{Compress: true}, SaveOptions{Aux: []Aux{{"a", "b"}}, Checksum: true})
	got := map[kv]bool{}
	gather := func(items []Item) error {
		for _, it := range items {
			if it.Kind == KindEntry {
				got[kv{it.DB, string(it.Key), string(it.Value), it.ExpireAt}] = true
			}
		}
		return nil
	}
	d := NewDecoder(iotest.HalfReader(bytes.NewReader(file)))
	if err := d.Each(gather); err != nil || d.Offset() != int64(len(file)) {
		t.Fatalf("%v after %d of %d bytes", err, d.Offset(), len(file))
	}
	compare(t, got, want)
	clear(got)
	var fe *FormatError
	if err := NewDecoder(bytes.NewReader(file[:len(file)-9])).Each(gather); !errors.As(err, &fe) {
		t.Errorf("a file cut short: %v", err)
	}
	compare(t, got, want) // everything before the damage was delivered
	boom, calls := errors.New("boom"), 0
	if err := NewDecoder(bytes.NewReader(file)).Each(func([]Item) error { calls++; return boom }); err != boom || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// TestCutShort: every prefix of a file is an error that says so, never a success.
func TestCutShort(t *testing.T) {
	ks := keyspace.New(keyspace.Options{Shards: 1, Databases: 2})
	defer ks.Close()
	k := []byte("key")
	for i, v := range []string{"v", "12", "300", "70000", strings.Repeat("ab", 100), strings.Repeat("xyz", 6000)} {
		key := append(k, byte('0'+i))
		ks.Shard(0).PutString(i%2, ks.Hash(key), 0, key, []byte(v), keyspace.Raw, 5000, 0)
	}
	file := save(t, ks, &Encoder{Compress: true}, SaveOptions{Aux: []Aux{{"a", "b"}}, Checksum: true})
	for n := range file {
		_, _, _, err := load(bytes.NewReader(file[:n]))
		var fe *FormatError
		if !errors.As(err, &fe) {
			t.Fatalf("the first %d of %d bytes give %v", n, len(file), err)
		}
	}
}

func TestUnsupportedTypesNameTheKey(t *testing.T) {
	for typ := byte(1); int(typ) < len(typeNames); typ++ {
		if typeNames[typ] == "" || typ != 6 && typ != 7 {
			continue
		}
		file := AppendHeader(nil, Version)
		at := len(file)
		file = append(appendString(append(file, typ), []byte("thekey"), false), 1, 2, 3)
		_, _, _, err := load(bytes.NewReader(file))
		var ue *UnsupportedError
		if !errors.As(err, &ue) || ue.Key != "thekey" || ue.Offset != int64(at) || ue.Type != typeNames[typ] {
			t.Errorf("type %d: %v", typ, err)
		}
	}
}

// TestOpcodes: everything of version 12 that is not a value.
func TestOpcodes(t *testing.T) {
	f := []byte("REDIS0012")
	f = append(f, opSlotInfo, 1, 2, 3)
	f = append(f, opModuleAux, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 2, 1, 5, 2, 6, 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 'h', 'i', 0)
	f = append(f, opFunction2, 3, 'l', 'i', 'b')
	f = append(f, opSelectDB, 3, opResizeDB, 2, 1)
	f = append(f, opExpireTime, 10, 0, 0, 0, opFreq, 200, typeString, 1, 'a', 1, 'b')
	f = append(f, opIdle, 0x40, 100, typeString, 1, 'c', encInt16, 0xff, 0xff)
	f = append(f, opEOF)
	f = binary.LittleEndian.AppendUint64(f, CRC64(0, f))
	d := NewDecoder(iotest.OneByteReader(bytes.NewReader(f)))
	next := func() Item {
		t.Helper()
		it, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		return it
	}
	if it := next(); it.Kind != KindFunction || string(it.Value) != "lib" {
		t.Errorf("%+v", it)
	}
	if it := next(); it.Kind != KindResize || it.DB != 3 || it.Keys != 2 || it.Expires != 1 {
		t.Errorf("%+v", it)
	}
	if it := next(); it.DB != 3 || string(it.Key) != "a" || string(it.Value) != "b" || it.ExpireAt != 10000 || it.Freq != 200 || it.Idle != -1 {
		t.Errorf("%+v", it)
	}
	if it := next(); string(it.Key) != "c" || string(it.Value) != "-1" || it.ExpireAt != keyspace.NoExpire || it.Freq != -1 || it.Idle != 100 {
		t.Errorf("%+v", it)
	}
	if _, err := d.Next(); err != io.EOF || d.Version() != 12 {
		t.Errorf("%v", err)
	}
	if _, _, _, err := load(strings.NewReader("REDIS0013\xff")); err == nil || !strings.Contains(err.Error(), "version 13") {
		t.Errorf("%v", err)
	}
	if _, _, _, err := load(strings.NewReader("REDISxxxx\xff")); err == nil {
		t.Error("nonsense is accepted")
	}
}

// TestHostileLengths: a claim is not allocated.
func TestHostileLengths(t *testing.T) {
	huge := []byte{0x81, 0x10, 0, 0, 0, 0, 0, 0, 0} // 1<<60
	for name, tail := range map[string][]byte{
		"key":        huge,
		"compressed": append(append([]byte{encLZF}, huge...), huge...),
		"expansion":  append([]byte{encLZF, 3}, append(append([]byte{}, huge...), 1, 2, 3)...),
		"value":      append([]byte{1, 'k'}, huge...),
	} {
		f := append(append(AppendHeader(nil, Version), typeString), tail...)
		f = append(f, make([]byte, 3000)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, _, err := load(bytes.NewReader(f)); err == nil {
			t.Fatalf("%s is accepted", name)
		}
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if allocated > 4<<20 {
			t.Errorf("%s: %d bytes allocated for %d of input", name, allocated, len(f))
		}
	}
}

// parseDump returns the value of a payload; of a collection, only what its last part holds.
func parseDump(p []byte) (typ keyspace.Type, v []byte, err error) {
	err = EachOfDump(p, func(it *Item) error {
		typ, v = it.Type, bytes.Join(append([][]byte{it.Value}, it.Elems...), nil)
		return nil
	})
	return typ, v, err
}

func TestDump(t *testing.T) {
	for _, v := range samples(rand.New(rand.NewPCG(1, 1))) {
		for _, compress := range []bool{true, false} {
			p := AppendDumpString(nil, v, compress)
			typ, got, err := parseDump(p)
			if err != nil || typ != keyspace.String || !bytes.Equal(got, v) {
				t.Fatalf("%d bytes: %v", len(v), err)
			}
			if len(p) < 1000 {
				for n := range p {
					if _, _, err := parseDump(p[:n]); err != ErrDump {
						t.Fatalf("prefix of %d: %v", n, err)
					}
					bad := bytes.Clone(p)
					bad[n] ^= 0x40
					if _, _, err := parseDump(bad); err != ErrDump {
						t.Fatalf("byte %d changed: %v", n, err)
					}
				}
			}
		}
	}
	sealed := func(body ...byte) []byte {
		p := binary.LittleEndian.AppendUint16(body, Version)
		return binary.LittleEndian.AppendUint64(p, CRC64(0, p))
	}
	if _, _, err := parseDump(sealed(0, 5, 'a')); err != ErrDumpValue {
		t.Errorf("short string: %v", err)
	}
	if _, _, err := parseDump(sealed(0, 1, 'a', 'b')); err != ErrDumpValue {
		t.Errorf("trailing bytes: %v", err)
	}
	if _, _, err := parseDump(sealed(99, 1, 'a')); err != ErrDumpValue {
		t.Errorf("unknown type: %v", err)
	}
	if _, _, err := parseDump(sealed(16, 1, 'a')); err != ErrDumpValue {
		t.Errorf("a hash that is no packed list: %v", err)
	}
	var ue *UnsupportedError
	if _, _, err := parseDump(sealed(7, 1, 'a')); !errors.As(err, &ue) {
		t.Errorf("module: %v", err)
	}
	// What redis-server 7.0 answers to: SET k hello, DUMP k.
	real := []byte("\x00\x05hello\x0a\x00")
	real = binary.LittleEndian.AppendUint64(real, CRC64(0, real))
	if !bytes.Equal(AppendDumpString(nil, []byte("hello"), true), real) {
		t.Error("DUMP of hello differs from Redis's")
	}
}

func FuzzDecode(f *testing.F) {
	ks := keyspace.New(keyspace.Options{Shards: 1, Databases: 2, Seed: 1})
	defer ks.Close()
	for i, v := range []string{"v", "12", "300", "70000", strings.Repeat("ab", 100)} {
		key := []byte{'k', byte('0' + i)}
		ks.Shard(0).PutString(i%2, ks.Hash(key), 0, key, []byte(v), keyspace.Raw, 5000, 0)
	}
	ks.LockAll()
	sn := Begin(ks, &Encoder{Compress: true})
	ks.UnlockAll()
	var b bytes.Buffer
	if _, err := Save(&b, ks, sn, SaveOptions{Aux: []Aux{{"a", "b"}}}); err != nil {
		f.Fatal(err)
	}
	sn.Close()
	f.Add(b.Bytes())
	f.Add([]byte("REDIS0011\xf7\x81\x01\x02\x03\x04\x05\x06\x07\x08\x02\x02\x00\xf5\x01a\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		whole, _, d, err := load(bytes.NewReader(p))
		if d.Offset() > int64(len(p)) {
			t.Fatalf("decoded %d of %d bytes", d.Offset(), len(p))
		}
		pieces, _, d2, err2 := load(iotest.OneByteReader(bytes.NewReader(p)))
		if fmt.Sprint(err) != fmt.Sprint(err2) || d.Offset() != d2.Offset() || len(whole) != len(pieces) {
			t.Fatalf("whole: %v at %d; byte by byte: %v at %d", err, d.Offset(), err2, d2.Offset())
		}
	})
}

func FuzzDump(f *testing.F) {
	f.Add(AppendDumpString(nil, []byte("hello"), true))
	f.Add(AppendDumpString(nil, bytes.Repeat([]byte("ab"), 50), true))
	f.Fuzz(func(t *testing.T, p []byte) {
		was := bytes.Clone(p)
		for _, q := range [][]byte{p, binary.LittleEndian.AppendUint64(append(bytes.Clone(p), 10, 0), CRC64(0, append(bytes.Clone(p), 10, 0)))} {
			if typ, v, err := parseDump(q); err == nil && typ == keyspace.String {
				if _, w, err := parseDump(AppendDumpString(nil, v, true)); err != nil || !bytes.Equal(v, w) {
					t.Fatalf("%q does not survive: %v", v, err)
				}
			}
		}
		if !bytes.Equal(p, was) {
			t.Fatal("the payload was written to")
		}
	})
}

func FuzzLZF(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 10)
	f.Add([]byte{0xe0, 0x10, 0x00, 1, 2}, 300)
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		if c, ok := appendLZF(nil, p, 2*len(p)+16); !ok {
			t.Fatal("compression failed")
		} else if q, ok := expandLZF(nil, c, len(p)); !ok || !bytes.Equal(p, q) {
			t.Fatal("compression does not round-trip")
		}
		if n >= 0 && n < 1<<20 {
			if q, ok := expandLZF(nil, p, n); ok && len(q) != n {
				t.Fatalf("%d bytes for %d", len(q), n)
			}
		}
	})
}
