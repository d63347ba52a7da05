package shipper

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/aof"
	"tidemark/engine"
	"tidemark/engine/config"
	"tidemark/engine/serverlog"
)

// Shipper is replication, as an extension of a server. Its methods are called by the engine.
type Shipper struct {
	srv  *engine.Server
	log  *serverlog.Logger
	cfg  *config.Config
	tail *aof.Tail

	changing sync.Mutex // held while the role changes, however long that takes; before mu

	mu       sync.Mutex
	replicas []*replica // enrolled, in the order they came; copied on change
	link     *link      // to our primary; nil: we are one
	failover *failover  // under way
	beat     *time.Timer
	stopped  bool
	lonely   time.Time // since when there have been no replicas; zero: there are, or never were

	all       atomic.Pointer[[]*replica] // replicas, for those who only look
	asked     atomic.Int64               // offset up to which acknowledgements were asked for in the stream
	wanted    atomic.Int64               // log offset up to which some client has waited for replicas
	paceNanos int64                      // see pace.go; tests change it before the start
	wantedAt  atomic.Int64               // when the latest of them began to, Unix ns
	pinged    atomic.Int64               // Unix ns: when the heartbeat last put a PING into the stream
	counts    struct{ full, partial, partialRefused atomic.Int64 }

	acks chan struct{} // filled at each acknowledgement, for those who wait for one outside the loops

	queue syncQueue
	loops []loopPart // by loop; each belongs to its loop
}

// New returns the extension. It begins to work when the server starts.
func New() *Shipper {
	sh := &Shipper{acks: make(chan struct{}, 1), paceNanos: paceNanos}
	sh.all.Store(&[]*replica{})
	return sh
}

// Attach is called before anything else.
func (sh *Shipper) Attach(s *engine.Server) {
	sh.srv, sh.cfg, sh.log, sh.tail = s, s.Config(), s.Logger(), s.Tail()
	sh.tail.Notify(s.WakeProgress)
	sh.cfg.OnChangeOf([]string{"min-replicas-to-write", "min-replicas-max-lag"}, func(_, v *config.Values) error {
		sh.countGoodBy(v)
		return nil
	})
	sh.loops = make([]loopPart, max(runtime.NumCPU(), int(sh.config().IOThreads), 1))
}

// Loaded begins to follow the primary that the configuration names.
func (sh *Shipper) Loaded() error {
	if v := sh.config(); v.PrimaryHost != "" {
		if err := sh.followPrimary(v.PrimaryHost, int(v.PrimaryPort), nil); err != nil {
			return fmt.Errorf("replicaof %s %d: %w", v.PrimaryHost, v.PrimaryPort, err)
		}
	}
	if sh.srv.Streams() && !sh.isReplica() {
		// The stream of before the start goes on in memory, for replicas that come back (repl-backlog-ttl).
		sh.mu.Lock()
		sh.lonely = time.Now()
		sh.beatLocked()
		sh.mu.Unlock()
	}
	sh.countGood()
	return nil
}

// Stopping ends the links.
func (sh *Shipper) Stopping() {
	sh.changing.Lock()
	defer sh.changing.Unlock()
	sh.mu.Lock()
	sh.stopped = true
	if sh.beat != nil {
		sh.beat.Stop()
	}
	sh.mu.Unlock()
	sh.endLink()
}

// AwaitReplicas waits until every replica that is in touch has acknowledged the whole log, or ctx is done.
func (sh *Shipper) AwaitReplicas(ctx context.Context) {
	behind := func() (n int) {
		end := sh.offset()
		for _, r := range *sh.all.Load() {
			if r.online() && r.received.Load() < end && r.lag(time.Now()) < 2*beatEvery {
				n++
			}
		}
		return n
	}
	if behind() == 0 {
		return
	}
	sh.say(getAckBytes) // stock replicas acknowledge once a second unless they are asked
	for behind() > 0 {
		select {
		case <-sh.acks:
		case <-time.After(beatEvery):
		case <-ctx.Done():
			sh.log.Warningf("%d replicas do not have everything that was written", behind())
			return
		}
	}
}

func (sh *Shipper) config() *config.Values { return sh.cfg.Load() }

// timeout is repl-timeout.
func (sh *Shipper) timeout() time.Duration {
	return time.Duration(sh.config().ReplTimeoutSeconds) * time.Second
}

// enrol adds a replica.
func (sh *Shipper) enrol(r *replica) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.setReplicasLocked(append(sh.replicas[:len(sh.replicas):len(sh.replicas)], r))
	sh.lonely = time.Time{}
	sh.beatLocked()
}

func (sh *Shipper) setReplicasLocked(list []*replica) {
	sh.replicas = list
	sh.all.Store(&list)
}

// Closed is called on the loop when a client that spoke REPLCONF or PSYNC has gone.
func (sh *Shipper) Closed(ss *engine.Session) {
	r, ok := ss.Ext.(*replica)
	if !ok || r.loop == nil {
		return
	}
	r.gone()
	sh.queue.remove(r)
	sh.mu.Lock()
	list := make([]*replica, 0, len(sh.replicas))
	for _, x := range sh.replicas {
		if x != r {
			list = append(list, x)
		}
	}
	sh.setReplicasLocked(list)
	if len(list) == 0 {
		sh.lonely = time.Now()
	}
	sh.mu.Unlock()
	sh.log.Noticef("Connection with replica %s lost.", r.name())
	sh.countGood()
}

// dropReplicas ends all links to replicas: what they follow has become another.
func (sh *Shipper) dropReplicas() {
	for _, r := range *sh.all.Load() {
		r.conn.Kill()
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
