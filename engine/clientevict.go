package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/engine/config"
)

// Client eviction (maxmemory-clients): when what the clients make the server keep exceeds the limit, those that take most are closed until
// it does not. What a client takes is its buffers for input and output, its queued commands and its watched keys; replicas and
// the link to a primary neither count nor go, and CLIENT NO-EVICT spares a client, though what it takes counts.
//
// Whether the limit is exceeded is estimated from sums that cost a few atomic loads, at the end of each turn, and before each command of a client that
// takes much. Only if so are all clients looked at, and added up exactly.
type clientEviction struct {
	limit   atomic.Int64 // bytes; 0: none
	evicted atomic.Int64 // INFO evicted_clients
	kept    atomic.Int64 // of all sessions' kept
	rest    atomic.Int64 // on the clock of elapsed: until then nobody looks, as the last look was in vain

	mu sync.Mutex // held by whoever looks
}

const (
	// leastClientLimit: with less not even an administrator could be served (as in Redis).
	leastClientLimit = 128 << 10
	// muchMemory is what a client must take for its commands to be held up by a look. It is also how wrong the sums may be for a loop.
	muchMemory = 64 << 10
	// vainLook: after a look in vain nobody looks for this many times what it took.
	vainLook = 20
)

// setClientLimit computes the limit from maxmemory-clients, which may be a share of maxmemory.
func (s *Server) setClientLimit(v *config.Values) {
	n := v.MaxMemoryClientsBytes
	if n < 0 {
		n = v.MaxMemoryBytes / 100 * -n
	}
	if n > 0 {
		n = max(n, leastClientLimit)
	}
	s.clientEvict.limit.Store(n)
	s.clientEvict.rest.Store(0)
}

// memory is what the client makes the server keep, to about a KiB. Any goroutine.
func (ss *Session) memory() int64 { return sessionBytes + ss.conn.Buffered() + ss.kept.Load() }

// reckon brings kept up to date after a change of queued commands or watched keys. The session's loop.
func (ss *Session) reckon() {
	n := ss.watchedBytes
	if ss.multi != nil {
		n += ss.multi.bytes
	}
	if was := ss.kept.Swap(n); was != n {
		ss.srv.clientEvict.kept.Add(n - was)
	}
}

// watchBytes is what watching a key takes beside its name.
const watchBytes = 96

// clientsExceed estimates whether the clients take more than they may.
func (s *Server) clientsExceed() bool {
	e := &s.clientEvict
	limit := e.limit.Load()
	return limit != 0 && s.net.BufferedBytes()+int64(s.net.NumConns())*sessionBytes+e.kept.Load() >= limit
}

// evictBefore makes room before a command of a client that takes much. False: the client itself had to go.
func (s *Server) evictBefore(ss *Session) bool {
	if ss.memory() >= muchMemory && s.clientsExceed() {
		s.evictClients()
	}
	return !ss.conn.Killed()
}

// evictAfter makes room at the end of a turn, or soon.
func (ls *loopState) evictAfter() {
	s := ls.srv
	if s.clientEvict.limit.Load() == 0 || !s.clientsExceed() {
		return
	}
	if wait := s.evictClients(); wait > 0 && ls.evictLater == nil {
		ls.evictLater = ls.l.After(wait, func() { ls.evictLater = nil }) // the end of that turn looks again
	}
}

// evictClients closes the largest clients until the rest take less than they may. It may be called from anywhere but with s.clients locked. wait
// says that nobody looked, because the last look was in vain, and when to look again; 0: that is not necessary.
func (s *Server) evictClients() (wait time.Duration) {
	e := &s.clientEvict
	start := time.Since(s.started)
	if rest := time.Duration(e.rest.Load()); start < rest {
		return rest - start
	}
	if !e.mu.TryLock() {
		return 0 // whoever looks just now sees what there is to see
	}
	defer e.mu.Unlock()
	type candidate struct {
		ss    *Session
		bytes int64
	}
	var list []candidate
	total := int64(0)
	s.clients.each(func(ss *Session) {
		if ss.class() == typeReplica || ss.class() == typeMaster {
			return
		}
		n := ss.memory()
		total += n
		if !ss.noEvict.Load() {
			list = append(list, candidate{ss, n})
		}
	})
	limit := e.limit.Load()
	if limit == 0 || total < limit || len(list) == 0 {
		end := time.Since(s.started)
		e.rest.Store(int64(end + vainLook*(end-start)))
		return 0
	}
	slices.SortFunc(list, func(a, b candidate) int { return int(b.bytes - a.bytes) })
	now := time.Now().Unix()
	for _, x := range list {
		if total < limit {
			break
		}
		s.log.Noticef("Evicting client: %s", appendClient(nil, x.ss, now))
		s.clients.remove(x.ss)
		x.ss.conn.Kill()
		e.evicted.Add(1)
		total -= x.bytes
	}
	return 0
}
