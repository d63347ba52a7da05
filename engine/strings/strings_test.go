package strings

import (
	"path/filepath"
	stdstrings "strings"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
)

func families() [][]*command.Descriptor { return [][]*command.Descriptor{Commands()} }

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { commandtest.CompareScript(t, f, families) })
	}
}

// What the log says is executed although the limit has been lowered since, but not to any size.
func TestReplayKnowsItsOwnLimit(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.C.Store.MaxBulkBytes.Store(1 << 20)
	r.C.Replay = true
	if got := r.Do("SETRANGE", "a", "2000000", "x"); got != ":2000001\r\n" {
		t.Errorf("SETRANGE of 2 MB in replay: %q", got)
	}
	if got := r.Do("SETRANGE", "a", "1000000000000000", "x"); got != "-"+command.ErrStringSize+"\r\n" {
		t.Errorf("SETRANGE of a petabyte in replay: %q", got)
	}
}

// While effects are replayed an expiry in the past is kept: the log itself says when the key went.
func TestPastExpiryInReplay(t *testing.T) {
	r := commandtest.New(t, families()...)
	for _, mode := range []func(bool){func(on bool) { r.C.Replay = on }, r.C.Store.Loading.Store} {
		mode(true)
		r.Do("SET", "a", "1", "PXAT", "1000")
		if got := r.Do("APPEND", "a", "2"); got != ":2\r\n" {
			t.Errorf("APPEND to a key that is to expire says %q", got)
		}
		mode(false)
		if got := r.Do("GET", "a"); got != "$-1\r\n" {
			t.Errorf("the key has not expired after replay: %q", got)
		}
	}
}

func TestLFUCounterSurvivesSet(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.C.Store.LFU.Store(true)
	r.Do("SET", "a", "1")
	for range 1000 { // each with a chance of one in eleven to count beyond 6
		r.Do("GET", "a")
	}
	access := func() uint32 {
		r.Prepare("GET", "a")
		k := r.C.Store.MakeKey([]byte("a"))
		return k.Shard.Access(k.Shard.Find(0, k.Hash, k.Name)) & 0xff
	}
	before := access()
	if before < 7 {
		t.Fatalf("1000 accesses make a counter of %d", before)
	}
	for _, words := range [][]string{{"SET", "a", "2"}, {"SET", "a", "2", "XX"}, {"INCR", "a"}, {"MSET", "a", "5"}, {"APPEND", "a", "5"}} {
		r.Do(words...)
		if now := access(); now < before {
			t.Errorf("%v takes the counter from %d to %d", words, before, now)
		}
	}
}

// A key that expires is gone for every command, and nothing of it is left in what replaces it.
func TestExpiredKeys(t *testing.T) {
	r := commandtest.New(t, families()...)
	for _, x := range []struct{ request, reply string }{
		{"GET e", "$-1\r\n"}, {"STRLEN e", ":0\r\n"}, {"GETRANGE e 0 -1", "$0\r\n\r\n"}, {"APPEND e x", ":1\r\n"}, {"INCR e", ":1\r\n"},
		{"INCRBYFLOAT e 1", "$1\r\n1\r\n"}, {"SETRANGE e 1 x", ":2\r\n"}, {"SETNX e 5", ":1\r\n"}, {"MSETNX e 5 f 6", ":1\r\n"}, {"GETSET e 5", "$-1\r\n"},
		{"GETDEL e", "$-1\r\n"}, {"GETEX e PERSIST", "$-1\r\n"}, {"SET e 1 XX", "$-1\r\n"}, {"SET e 1 NX", "+OK\r\n"}, {"SET e 1 GET", "$-1\r\n"},
		{"SET e 1 KEEPTTL", "+OK\r\n"}, {"SET e 1", "+OK\r\n"}, {"MSET e 1", "+OK\r\n"}, {"MGET e e", "*2\r\n$-1\r\n$-1\r\n"}, {"LCS e e LEN", ":0\r\n"},
	} {
		r.Do("FLUSHALL")
		r.Do("SET", "e", "77", "PX", "5")
		r.C.Now += 5
		if got := r.Do(stdstrings.Fields(x.request)...); got != x.reply {
			t.Errorf("%s of an expired key: %q, want %q", x.request, got, x.reply)
		}
		if got := r.Do("PTTL", "e"); got != ":-1\r\n" && got != ":-2\r\n" {
			t.Errorf("%s leaves an expiry: %q", x.request, got)
		}
	}
}
