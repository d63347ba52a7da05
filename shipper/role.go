package shipper

import (
	"tidemark/aof"
	"tidemark/engine"
	"tidemark/engine/command"
	"tidemark/engine/config"
)

// isReplica reports whether this server follows a primary.
func (sh *Shipper) isReplica() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.link != nil
}

func (sh *Shipper) linkUp() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.link != nil && sh.link.state.Load() == linkConnected
}

// linkIsUp and linkDown are told by the link; one that was replaced has nothing more to say.
func (sh *Shipper) linkIsUp(k *link) { sh.setLink(k, true) }

func (sh *Shipper) linkDown(k *link) {
	sh.setLink(k, false)
}

func (sh *Shipper) setLink(k *link, up bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.link != k {
		return
	}
	if !up && k.state.Load() == linkConnected {
		k.downAt.Store(nowNanos() / 1e9)
		k.state.Store(linkConnect)
	}
	sh.srv.SetRole(engine.Role{Replica: true, LinkUp: up})
}

// stream is the log as the stream of replication: in memory if there is no AOF, and with its newest bytes in the Tail from now on.
func (sh *Shipper) stream() (*aof.Log, error) { return sh.srv.EnsureStream() }

// replicaof is REPLICAOF and SLAVEOF.
func (sh *Shipper) replicaof(c *command.Ctx) {
	ss := c.Client.(*engine.Session)
	if c.InBlock() {
		c.W.Error("ERR REPLICAOF is not possible inside a transaction: it waits for the link and the disk")
		return
	}
	if sh.failingOver() {
		c.W.Error("ERR REPLICAOF not allowed while failing over.")
		return
	}
	if command.Is(c.Args[1], "no") && command.Is(c.Args[2], "one") {
		ss.InBackground(func() string {
			if err := sh.promote("user request from client"); err != nil {
				return "ERR " + err.Error()
			}
			return ""
		})
		return
	}
	if ss.IsReplica() {
		c.W.Error("ERR Command is not valid when client is a replica.")
		return
	}
	port, ok := command.ParseInt(c.Args[2])
	if !ok || port < 0 || port > 65535 {
		c.W.Error("ERR Invalid master port")
		return
	}
	host := string(c.Args[1])
	sh.mu.Lock()
	same := sh.link != nil && sh.link.host == host && sh.link.port == int(port)
	sh.mu.Unlock()
	if same {
		sh.log.Noticef("REPLICAOF would result into synchronization with the master we are already connected with. No operation performed.")
		c.W.Simple("OK Already connected to specified master")
		return
	}
	ss.InBackground(func() string {
		if err := sh.followPrimary(host, int(port), nil); err != nil {
			return "ERR " + err.Error()
		}
		return ""
	})
}

// followPrimary makes this server a replica. answer, unless nil, makes the primary take over from us (FAILOVER), and is told what it said.
// Not on a loop's thread.
func (sh *Shipper) followPrimary(host string, port int, answer chan<- error) error {
	sh.changing.Lock()
	defer sh.changing.Unlock()
	sh.endLink()
	// From here on no client's write is executed any more: the log ends here, until the primary goes on with it.
	sh.srv.SetRole(engine.Role{Replica: true})
	if _, err := sh.stream(); err != nil {
		sh.srv.SetRole(engine.Role{})
		return err
	}
	sh.srv.UnblockAll(errRoleChanged)
	sh.dropReplicas()
	k := newLink(sh, host, port)
	k.answer = answer
	sh.startLink(k)
	sh.setPrimary(host, int64(port))
	sh.log.Noticef("REPLICAOF %s enabled", k.addr())
	return nil
}

// startLink sets a link going. changing must be held.
func (sh *Shipper) startLink(k *link) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.stopped {
		return
	}
	sh.link = k
	sh.beatLocked()
	go k.run()
}

// setPrimary notes whom we follow in the configuration, for CONFIG GET and REWRITE.
func (sh *Shipper) setPrimary(host string, port int64) {
	sh.cfg.Adjust(func(v *config.Values) { v.PrimaryHost, v.PrimaryPort = host, port })
}

// promote makes this server a primary. Its log goes on at the same offset under an id of its own, with the old id as an ancestor: other
// replicas of the old primary, and that itself, can continue with us. Not on a loop's thread.
func (sh *Shipper) promote(why string) error {
	sh.changing.Lock()
	defer sh.changing.Unlock()
	if !sh.isReplica() {
		return nil
	}
	k := sh.endLink()
	log, err := sh.stream()
	if err == nil {
		if k != nil && k.mustFull {
			// What is in memory is no state of the old history.
			err = log.SetIdentity(engine.RandomID(), nil)
		} else {
			err = log.SetIdentity(engine.RandomID(), append([]aof.Ancestor{{ID: log.ID(), End: log.Reserved()}}, log.Ancestors()...))
		}
	}
	if err != nil {
		// Under the old id we must not write anything of our own.
		sh.log.Warningf("Becoming a primary failed: %v", err)
		again := newLink(sh, k.host, k.port)
		again.mustFull = k.mustFull
		sh.startLink(again)
		return err
	}
	sh.srv.SetRole(engine.Role{})
	sh.dropReplicas() // they shall learn of the new id
	sh.setPrimary("", 0)
	sh.log.Noticef("MASTER MODE enabled (%s)", why)
	sh.log.Noticef("The replication id is %s from offset %d on", log.ID(), log.Reserved())
	sh.countGood()
	return nil
}

// endLink ends the link, if there is one. changing must be held.
func (sh *Shipper) endLink() *link {
	sh.mu.Lock()
	k := sh.link
	sh.mu.Unlock()
	if k != nil {
		k.end()
		sh.mu.Lock()
		sh.link = nil
		sh.mu.Unlock()
	}
	return k
}

// roleCommand is ROLE.
func (sh *Shipper) roleCommand(c *command.Ctx) {
	sh.mu.Lock()
	k := sh.link
	sh.mu.Unlock()
	if k != nil {
		off := int64(-1)
		if k.state.Load() == linkConnected {
			off = sh.offset()
		}
		c.W.Array(5)
		c.W.BulkString("slave")
		c.W.BulkString(k.host)
		c.W.Int(int64(k.port))
		c.W.BulkString(linkNames[k.state.Load()])
		c.W.Int(off)
		return
	}
	c.W.Array(3)
	c.W.BulkString("master")
	c.W.Int(sh.offset())
	var online []*replica
	for _, r := range *sh.all.Load() {
		if r.online() {
			online = append(online, r)
		}
	}
	c.W.Array(len(online))
	for _, r := range online {
		ip, port := r.addr()
		c.W.Array(3)
		c.W.BulkString(ip)
		c.W.BulkString(itoa(int64(port)))
		c.W.BulkString(itoa(r.received.Load()))
	}
}

// offset is the end of the log, 0 without one.
func (sh *Shipper) offset() int64 {
	if log := sh.srv.Log(); log != nil {
		return log.Reserved()
	}
	return 0
}
