package generic

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func TestMemoryUsage(t *testing.T) {
	e := newEngine(t, 16)
	for _, n := range []int{0, 100, 5000, 1 << 20} {
		e.do("SET", "k", strings.Repeat("v", n))
		var got int
		if _, err := fmt.Sscanf(e.text("MEMORY", "USAGE", "k", "SAMPLES", "0"), "(integer) %d", &got); err != nil || got < n || got > 2*n+200 {
			t.Errorf("a value of %d bytes takes %d (%v)", n, got, err)
		}
	}
}

// TestMemoryStats: the figures are there under Redis's names, in both protocols, and add up.
func TestMemoryStats(t *testing.T) {
	e := newEngine(t, 16)
	for i := range 5000 {
		e.do("SET", fmt.Sprint(i), strings.Repeat("v", 1000))
		if i%2 == 0 {
			e.do("EXPIRE", fmt.Sprint(i), "1000")
		}
	}
	e.do("SELECT", "3")
	e.do("SET", "k", "v")
	for _, resp3 := range []bool{false, true} {
		e.c.W.RESP3 = resp3
		r := bufio.NewReader(strings.NewReader(e.do("MEMORY", "STATS")))
		m := pairs(parsed(t, r))
		if r.Buffered() != 0 {
			t.Fatalf("the header of the reply (RESP3 %v) counts too few pairs", resp3)
		}
		num := func(name string) int64 {
			switch v := m[name].(type) {
			case int64:
				return v
			case string:
				if f, err := strconv.ParseFloat(strings.TrimPrefix(v, ","), 64); err == nil {
					return int64(f)
				}
			}
			t.Errorf("%s is %v", name, m[name])
			return -1
		}
		if n := num("keys.count"); n != 5001 {
			t.Errorf("keys.count %d", n)
		}
		data, total := num("dataset.bytes"), num("total.allocated")
		if data < 5_000_000 || data > 8_000_000 || total < data || num("overhead.total") != total-data || num("peak.allocated") < total {
			t.Errorf("%v", m)
		}
		if n := num("keys.bytes-per-key"); n < 1000 || n > 1500 {
			t.Errorf("keys.bytes-per-key %d", n)
		}
		if p := num("dataset.percentage"); p < 10 || p > 100 {
			t.Errorf("dataset.percentage %d", p)
		}
		for _, db := range []string{"db.0", "db.3"} {
			if in := pairs(m[db]); in["overhead.hashtable.main"] == nil || in["overhead.hashtable.expires"] == nil {
				t.Errorf("%s: %v", db, m[db])
			}
		}
		if m["db.1"] != nil {
			t.Error("an empty database is listed")
		}
	}
	e.c.W.RESP3 = false
	if got := e.text("MEMORY", "DOCTOR"); strings.Contains(got, "too little") {
		t.Errorf("5 MB are enough to tell: %s", got)
	}
	for _, want := range []string{"arenas in use", "expiry index", "go heap objects"} {
		if got := e.text("MEMORY", "MALLOC-STATS"); !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	e.do("FLUSHALL")
	if got := e.text("MEMORY", "DOCTOR"); !strings.Contains(got, "too little") && !strings.Contains(got, "peak") {
		t.Errorf("after FLUSHALL: %s", got)
	}
}

func TestObjectUnderLFU(t *testing.T) {
	e := newEngine(t, 4)
	e.now = 1_700_000_000_000
	e.c.Store.LFU.Store(true)
	e.do("SET", "k", "v")
	if got := e.text("OBJECT", "FREQ", "k"); got != "(integer) 5" {
		t.Errorf("a new key: %s", got)
	}
	if got := e.text("OBJECT", "IDLETIME", "k"); !strings.HasPrefix(got, "(error) ERR An LFU maxmemory policy is selected, idle time not tracked.") {
		t.Error(got)
	}
	for range 1000 {
		e.do("GET", "k")
	}
	var up, down int
	fmt.Sscanf(e.text("OBJECT", "FREQ", "k"), "(integer) %d", &up)
	if up < 10 || up > 60 {
		t.Errorf("counter %d after 1000 reads", up)
	}
	e.now += 5 * 60_000
	fmt.Sscanf(e.text("OBJECT", "FREQ", "k"), "(integer) %d", &down)
	if down != up-5 {
		t.Errorf("counter %d, five minutes later %d", up, down)
	}
	// RESTORE with FREQ, and OBJECT, which does not count as an access.
	payload := parsed(t, bufio.NewReader(strings.NewReader(e.do("DUMP", "k")))).(string)
	e.do("RESTORE", "r", "0", payload, "FREQ", "200")
	for range 10 {
		if got := e.text("OBJECT", "FREQ", "r"); got != "(integer) 200" {
			t.Fatal(got)
		}
	}
}

func TestRefCount(t *testing.T) {
	e := newEngine(t, 4)
	e.do("SET", "k", "1")
	for own, want := range map[bool]string{false: "(integer) 2147483647", true: "(integer) 1"} {
		e.c.Store.OwnIntegers.Store(own)
		if got := e.text("OBJECT", "REFCOUNT", "k"); got != want {
			t.Errorf("own integers %v: %s", own, got)
		}
	}
}

func TestIdleTime(t *testing.T) {
	e := newEngine(t, 4)
	e.now = 1_700_000_000_000
	e.do("SET", "k", "v")
	idle := func(want int) {
		t.Helper()
		if got := e.text("OBJECT", "IDLETIME", "k"); got != fmt.Sprintf("(integer) %d", want) {
			t.Errorf("idle %s, want %d", got, want)
		}
	}
	e.now += 50_000
	idle(50)
	for _, cmd := range []string{"TTL k", "TYPE k", "EXISTS k", "OBJECT ENCODING k", "MEMORY USAGE k", "PTTL k"} {
		e.do(strings.Fields(cmd)...)
		idle(50)
	}
	e.c.NoTouch = true
	e.do("GET", "k")
	idle(50)
	e.do("TOUCH", "k")
	idle(0)
	e.c.NoTouch = false
	e.now += 50_000
	e.do("GET", "k")
	idle(0)
	// The idle time goes along with the value.
	e.now += 50_000
	e.do("RESTORE", "k", "0", parsed(t, bufio.NewReader(strings.NewReader(e.do("DUMP", "k")))).(string), "REPLACE", "IDLETIME", "700")
	idle(700)
}
