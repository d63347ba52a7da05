package hash

import (
	"maps"
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
	"tidemark/engine/generic"
)

// TestCompactedHashesExpire: when tables are compacted after most of their keys went, the index of hashes follows the entries that move.
func TestCompactedHashesExpire(t *testing.T) {
	n := 200_000
	if testing.Short() {
		n = 60_000
	}
	all := append(families(), generic.Commands())
	r := commandtest.New(t, all...)
	r.C.Now = 1000
	set, expire := commandtest.Words("HSET", "", "a", "1", "b", "2", "c", "3"), commandtest.Words("HPEXPIREAT", "", "", "FIELDS", "2", "a", "b")
	for i := range n {
		key := []byte("hash:" + strconv.Itoa(i))
		set[1], expire[1], expire[2] = key, key, strconv.AppendInt(nil, int64(2000+i%977), 10)
		r.DoArgs(set)
		r.DoArgs(expire)
	}
	r.C.Store.Limits.HashEntries.Store(0)
	for i := range 20 {
		r.Do("HSET", "hash:"+strconv.Itoa(20*i), "d", "4") // these are large now
	}
	for i := range n {
		if i%20 != 0 {
			r.Do("DEL", "hash:"+strconv.Itoa(i))
		}
	}
	before, mapped := r.Contents(), r.C.Store.KS.Memory().Mapped
	for r.C.Store.KS.Compact(1000) {
	}
	r.Check()
	if after := r.Contents(); !maps.Equal(before, after) {
		t.Error("compacting changed what is there")
	}
	if now := r.C.Store.KS.Memory().Mapped; now > mapped*3/4 {
		t.Errorf("compacting moved nothing: %d bytes are mapped, %d before", now, mapped)
	}
	r.C.Now = 2000 + 977
	for s := range r.C.Store.KS.NumShards() {
		for done := 1; done > 0; {
			done, _ = r.C.ExpireDue(s, 100)
		}
	}
	r.Check()
	if r.C.Store.KS.FieldsExpire() {
		t.Error("fields are left that should have expired")
	}
	if got := r.Do("HGETALL", "hash:20"); got != "*4\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\nd\r\n$1\r\n4\r\n" && got != "*4\r\n$1\r\nd\r\n$1\r\n4\r\n$1\r\nc\r\n$1\r\n3\r\n" {
		t.Errorf("%q", got)
	}
}
