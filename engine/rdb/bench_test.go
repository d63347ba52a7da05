package rdb

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"tidemark/engine/keyspace"
)

const benchKeys = 1_000_000

// benchFill has keys of 16 bytes with random values of 64, 64 text values, or small numbers.
func benchFill(tb testing.TB, kind string) *keyspace.Keyspace {
	ks := keyspace.New(keyspace.Options{Shards: 64, Databases: 16})
	tb.Cleanup(ks.Close)
	rnd := rand.New(rand.NewPCG(1, 1))
	val := make([]byte, 64)
	for i := range benchKeys {
		k := fmt.Appendf(nil, "key:%012d", i)
		switch kind {
		case "random":
			for p := range val {
				val[p] = byte(rnd.Uint32())
			}
		case "text":
			val = append(val[:0], fmt.Sprintf(`{"id":%d,"name":"somebody","active":true,"name2":"somebody","n":%d}`, i, i)[:64]...)
		}
		h := ks.Hash(k)
		ks.Shard(ks.ShardIndex(h)).PutString(0, h, 0, k, val, keyspace.Raw, keyspace.NoExpire, 0)
	}
	return ks
}

func BenchmarkSave(b *testing.B) {
	for _, kind := range []string{"random", "text"} {
		ks := benchFill(b, kind)
		for _, compress := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s compress=%v", kind, compress), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					ks.LockAll()
					sn := Begin(ks, &Encoder{Compress: compress})
					ks.UnlockAll()
					n, err := Save(io.Discard, ks, sn, SaveOptions{Checksum: true})
					if err != nil {
						b.Fatal(err)
					}
					sn.Close()
					b.SetBytes(n)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/key")
			})
		}
	}
}

// benchFile is a keyspace saved.
func benchFile(b *testing.B, kind string) *bytes.Buffer {
	ks := benchFill(b, kind)
	ks.LockAll()
	sn := Begin(ks, &Encoder{Compress: true})
	ks.UnlockAll()
	defer sn.Close()
	var file bytes.Buffer
	if _, err := Save(&file, ks, sn, SaveOptions{Checksum: true}); err != nil {
		b.Fatal(err)
	}
	return &file
}

func BenchmarkDecode(b *testing.B) {
	for _, kind := range []string{"random", "text"} {
		file := benchFile(b, kind)
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(int64(file.Len()))
			b.ReportAllocs()
			for b.Loop() {
				d := NewDecoder(bytes.NewReader(file.Bytes()))
				for {
					if _, err := d.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/key")
		})
		b.Run(kind+" into a keyspace", func(b *testing.B) {
			b.SetBytes(int64(file.Len()))
			for b.Loop() {
				to := keyspace.New(keyspace.Options{Shards: 64, Databases: 16})
				d := NewDecoder(bytes.NewReader(file.Bytes()))
				for {
					it, err := d.Next()
					if err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
					if it.Kind != KindEntry {
						continue
					}
					h := to.Hash(it.Key)
					s := to.Shard(to.ShardIndex(h))
					s.PutString(it.DB, h, s.Find(it.DB, h, it.Key), it.Key, it.Value, keyspace.Raw, it.ExpireAt, 0)
				}
				to.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/key")
		})
	}
}

func BenchmarkEach(b *testing.B) {
	for _, kind := range []string{"random", "text"} {
		file := benchFile(b, kind)
		for _, warm := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s warm=%v", kind, warm), func(b *testing.B) {
				b.SetBytes(int64(file.Len()))
				for b.Loop() {
					to := keyspace.New(keyspace.Options{Shards: 64, Databases: 16})
					var hash [batchItems]uint64
					err := NewDecoder(bytes.NewReader(file.Bytes())).Each(func(items []Item) error {
						var sink uint64
						for i := range items {
							hash[i] = to.Hash(items[i].Key)
							if warm {
								sink += to.Shard(to.ShardIndex(hash[i])).Warm(items[i].DB, hash[i])
							}
						}
						runtime.KeepAlive(sink)
						for i := range items {
							it := &items[i]
							if it.Kind != KindEntry {
								continue
							}
							h := hash[i]
							s := to.Shard(to.ShardIndex(h))
							s.PutString(it.DB, h, s.Find(it.DB, h, it.Key), it.Key, it.Value, keyspace.Raw, it.ExpireAt, 0)
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
					if to.Shard(0).Len(0) == 0 {
						b.Fatal("nothing loaded")
					}
					to.Close()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/key")
			})
		}
	}
}

func BenchmarkCRC64(b *testing.B) {
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		CRC64(0, p)
	}
}
