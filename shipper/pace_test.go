package shipper

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/testclient"
)

// startPaced is start, with pieces held back for as long as pace says.
func startPaced(t *testing.T, pace time.Duration, options ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: testclient.FreePort(t), args: options, tune: func(sh *Shipper) { sh.paceNanos = int64(pace) }}
	s.run()
	return s
}

// unsent is how many bytes of the log the first replica was not sent yet.
func unsent(t *testing.T, c *testclient.Client) int64 {
	t.Helper()
	text := c.Do("INFO replication")
	number := func(before, after string) int64 {
		_, rest, _ := strings.Cut(text, before)
		digits, _, _ := strings.Cut(rest, after)
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			t.Fatalf("no %s in %s", before, text)
		}
		return n
	}
	return number("master_repl_offset:", "\r\n") - number(",sent=", ",")
}

// TestPace: in a quiet moment a write is sent at once; those right behind it are held back until time has passed, until there are many, or until somebody
// waits for one of them.
func TestPace(t *testing.T) {
	const forever = 30 * time.Second
	t.Run("time", func(t *testing.T) {
		p, r := startPaced(t, 50*time.Millisecond), start(t, t.TempDir())
		r.follow(p)
		c, d := dial(t, p), dial(t, r)
		for i := range 20 {
			k := "k" + strconv.Itoa(i)
			c.Want("SET "+k+" 1", "OK", "SET "+k+" 2", "OK", "SET "+k+" 3", "OK")
			testclient.Eventually(t, "the replica has the last write, though nothing follows it", func() bool { return d.Do("GET "+k) == "3" })
		}
	})
	t.Run("size", func(t *testing.T) {
		p, r := startPaced(t, forever), start(t, t.TempDir())
		r.follow(p)
		c, d := dial(t, p), dial(t, r)
		time.Sleep(10 * time.Millisecond)
		c.Want("SET big "+strings.Repeat("x", 2*paceBytes), "OK")
		testclient.Eventually(t, "the replica has what is large", func() bool { return d.Do("STRLEN big") == strconv.Itoa(2*paceBytes) })
		c.Want("SET small 1", "OK")
		time.Sleep(20 * time.Millisecond)
		if unsent(t, c) == 0 || d.Do("GET small") != "nil" {
			t.Error("a small write right behind it was not held back")
		}
	})
	for _, loops := range []string{"1", "3"} {
		t.Run("wait, loops "+loops, func(t *testing.T) {
			p, r := startPaced(t, forever, "--io-threads", loops), start(t, t.TempDir())
			r.follow(p)
			for i := range 6 {
				time.Sleep(calmNanos + 50*time.Millisecond) // after the last WAIT
				c := dial(t, p)                             // on any loop
				c.Want("SET a 1", "OK", "SET a 2", "OK")
				if time.Sleep(5 * time.Millisecond); unsent(t, c) == 0 {
					t.Fatal("the second write was not held back")
				}
				begun := time.Now()
				if i%2 == 0 {
					c.Want("WAIT 1 5000", "1")
				} else {
					c.Want("WAITAOF 1 1 5000", "[1 1]")
				}
				c.Want("SET b 1", "OK")
				testclient.Eventually(t, "the next write is sent, too: it is likely to be waited for", func() bool { return unsent(t, c) == 0 })
				if d := time.Since(begun); d > time.Second {
					t.Errorf("it took %v", d)
				}
			}
		})
	}
}
