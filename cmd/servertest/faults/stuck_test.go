package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// Keys whose time comes while the disk is full: their removal needs room in the rings, which nobody makes. Active expiry must wait for it
// rather than try again and again, and go on by itself once there is room.
func TestExpiryWaitsForRoom(t *testing.T) {
	const size, keys = 64 << 20, 20000
	dir := smallDisk(t, size)
	ballast := filepath.Join(dir, "ballast")
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	srv := servertest.StartTidemark(t, servertest.Config{Dir: data,
		Args: []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--ring-size", "4kb", "--auto-aof-rewrite-percentage", "0"}})
	c := srv.Connect(t)
	due := time.Now().Add(3 * time.Second)
	for i := range keys {
		c.Queue("SET", fmt.Sprintf("k%d", i), "v", "PXAT", fmt.Sprint(due.UnixMilli()))
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for range keys {
		if r, err := c.Receive(); err != nil || r.Str != "OK" {
			t.Fatal(r, err)
		}
	}
	fill(t, ballast, size)
	if r := refused(t, srv, srv.Connect(t)); !strings.HasPrefix(r, "MISCONF") {
		t.Fatal(r)
	}
	time.Sleep(time.Until(due) + 500*time.Millisecond) // active expiry has had its time
	if strings.Contains(c.Must(t, "INFO", "stats").Str, fmt.Sprintf("expired_keys:%d\r", keys)) {
		t.Fatal("all keys have expired on a full disk: the test shows nothing")
	}
	idleCPU(t, srv, "with keys that cannot expire")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		// "another" is what the refused writes were about; one of them may have been written.
		if n := c.Must(t, "DBSIZE").Int; n <= 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("there is room again, but %d keys have not expired after 10 s", n)
		}
	}
}

// Clients held because a ring is full, while the disk takes half a second for each write: their loops must wait for it.
func TestParkedClientsWait(t *testing.T) {
	srv := servertest.StartTidemark(t, servertest.Config{
		Args: []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--ring-size", "4kb", "--shards", "1"},
		Wrap: injectOn(t, "pwrite64,pwritev", "delay_enter=500000")})
	const writers, each = 4, 30 // together far more than a ring holds
	var clients [writers]*servertest.Client
	for i := range clients {
		c := srv.Connect(t)
		clients[i] = c
		for j := range each {
			c.Queue("SET", fmt.Sprintf("k%d.%d", i, j), strings.Repeat("v", 100))
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // the first write to the disk is under way
	idleCPU(t, srv, "with clients that wait for room in a ring")
	r := srv.Connect(t)
	if n := r.Must(t, "DBSIZE").Int; n == writers*each {
		t.Fatal("all writes are executed: no client was held, and the test shows nothing")
	}
	for _, c := range clients {
		c.SetTimeout(2 * time.Minute)
		for range each {
			if r, err := c.Receive(); err != nil || r.Str != "OK" {
				t.Fatal(r, err)
			}
		}
	}
}
