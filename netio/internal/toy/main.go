// Command toy serves PING, ECHO, GET, SET and CONFIG from a Go map over netio. It
// shows what the network layer alone costs, as the floor under every server
// built on it:
//
//	go build -o /tmp/toy ./netio/internal/toy && /tmp/toy --port 6399
//
// With -commit inline or handoff every SET is gated on a commit that takes -delay
// or writes and syncs a page of -file.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tidemark/netio"
)

type handler struct {
	mu      sync.Mutex
	data    map[string][]byte
	mode    netio.CommitMode
	delay   time.Duration
	written atomic.Int64
	synced  atomic.Int64
	role    sync.Mutex
	file    *os.File // written and synced by every commit; may be nil
	page    []byte
	work    time.Duration

	commits, commitNanos atomic.Int64
}

func (h *handler) Accept(c *netio.Conn) string { return "" }
func (h *handler) Close(*netio.Conn, error)    {}
func (h *handler) Woken(*netio.Loop)           {}
func (h *handler) Committed(*netio.Loop)       {}
func (h *handler) Watermark() int64            { return h.synced.Load() }
func (h *handler) EndTurn(l *netio.Loop) netio.CommitMode {
	if h.mode == netio.CommitNone || h.written.Load() == h.synced.Load() {
		return netio.CommitNone
	}
	return h.mode
}

func (h *handler) Commit() {
	for h.written.Load() != h.synced.Load() && h.role.TryLock() {
		w := h.written.Load()
		start := time.Now()
		if h.file != nil {
			// As a log does with a prepared segment: overwrite, no metadata.
			if _, err := h.file.WriteAt(h.page, w%1024*4096); err != nil {
				log.Fatal(err)
			}
			if err := syscall.Fdatasync(int(h.file.Fd())); err != nil {
				log.Fatal(err)
			}
		}
		if h.delay > 0 {
			ts := syscall.NsecToTimespec(int64(h.delay))
			syscall.Nanosleep(&ts, nil)
		}
		h.commits.Add(1)
		h.commitNanos.Add(int64(time.Since(start)))
		h.synced.Store(w)
		h.role.Unlock()
	}
}

func (h *handler) Serve(c *netio.Conn) {
	var r netio.Request
	for c.Next(&r) {
		a := r.Args
		if h.work > 0 {
			for t := time.Now(); time.Since(t) < h.work; {
			}
		}
		switch {
		case len(a) == 2 && len(a[0]) == 3 && a[0][0]|32 == 'g':
			h.mu.Lock()
			v, ok := h.data[string(a[1])]
			if ok {
				c.W.Bulk(v)
			} else {
				c.W.Null()
			}
			h.mu.Unlock()
		case len(a) == 3 && len(a[0]) == 3 && a[0][0]|32 == 's':
			h.mu.Lock()
			if v, ok := h.data[string(a[1])]; ok && len(v) == len(a[2]) {
				copy(v, a[2])
			} else {
				h.data[string(a[1])] = append([]byte(nil), a[2]...)
			}
			h.mu.Unlock()
			if h.mode != netio.CommitNone {
				c.Gate(len(c.W.B), h.written.Add(1))
			}
			c.W.OK()
		case len(a[0]) == 4 && a[0][0]|32 == 'p':
			c.W.Simple("PONG")
		case len(a[0]) == 6:
			c.W.Array(0)
		default:
			c.W.Error("ERR unknown command")
		}
	}
}

func main() {
	port := flag.Int("port", 6399, "port on 127.0.0.1")
	loops := flag.Int("loops", 0, "most loops")
	commit := flag.String("commit", "none", "none, inline or handoff")
	delay := flag.Duration("delay", 0, "how long a commit takes")
	file := flag.String("file", "", "a file that every commit writes to and syncs")
	work := flag.Duration("work", 0, "how long every request keeps the processor busy")
	prof := flag.String("pprof", "", "address of net/http/pprof")
	flag.Parse()
	h := &handler{data: map[string][]byte{}, delay: *delay, work: *work}
	h.mode = map[string]netio.CommitMode{"inline": netio.CommitInline, "handoff": netio.CommitHandoff}[*commit]
	if *file != "" {
		f, err := os.OpenFile(*file, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			log.Fatal(err)
		}
		h.file, h.page = f, make([]byte, 4096)
		for i := range int64(1024) {
			if _, err := f.WriteAt(h.page, i*4096); err != nil {
				log.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			log.Fatal(err)
		}
	}
	if *prof != "" {
		go func() { log.Print(http.ListenAndServe(*prof, nil)) }()
	}
	s, err := netio.Listen(netio.Config{Addrs: []string{fmt.Sprint("127.0.0.1:", *port)}, MaxLoops: *loops,
		Limits: netio.Limits{MaxClients: 20000},
		Logf:   func(level byte, f string, a ...any) { log.Printf(f, a...) }}, h)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, os.Interrupt)
	<-ch
	s.Shutdown(100 * time.Millisecond)
	log.Printf("%+v", s.Stats())
	if n := h.commits.Load(); n > 0 {
		log.Printf("%d commits of %.1f writes, %v each", n, float64(h.written.Load())/float64(n), time.Duration(h.commitNanos.Load()/n))
	}
}
