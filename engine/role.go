package engine

import (
	"tidemark/engine/command"
	"tidemark/engine/config"
)

// Gates refuse commands for what the server is just now, one bit each, so that the path of a command pays one load for all of them.
const (
	gateLoading     uint32 = 1 << iota // the data are being loaded
	gateReadOnly                       // a replica that takes no writes (replica-read-only)
	gateStale                          // a replica whose primary is out of reach, and which shall not show old data (replica-serve-stale-data)
	gateFewReplicas                    // a primary with fewer good replicas than min-replicas-to-write
	gateNoAOF                          // a primary that shall have an AOF and has none yet
)

const (
	errReadOnly   = "READONLY You can't write against a read only replica."
	errMasterDown = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
	errNoReplicas = "NOREPLICAS Not enough good replicas to write."
	errNoAOF      = "MISCONF Errors writing to the AOF file: it is not open yet, see the server's log"
)

// Role is the server's part in replication, as far as the running of commands depends on it.
type Role struct {
	Replica bool // of another server
	LinkUp  bool // the primary's stream arrives
}

// roles is the role and what else decides about the gates, guarded by Server.mu.
type roles struct {
	Role
	fewReplicas bool
}

// Role is the role in force. Any goroutine.
func (s *Server) Role() Role {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roles.Role
}

// SetRole says what the server is from now on. Becoming a replica, it returns when the last command that was let in as on a primary has ended; from
// then on the log takes nothing but the primary's stream (Follower), clients' writes change memory alone, and nothing expires or is evicted by
// itself. Becoming a primary again undoes that. When Replica changes it must not be called on an event loop's thread, and no Follower may be at work.
func (s *Server) SetRole(r Role) {
	s.mu.Lock()
	was := s.roles.Role
	s.roles.Role = r
	s.settleGatesLocked(s.cfg.Load())
	s.mu.Unlock()
	if was.Replica == r.Replica {
		return
	}
	if r.Replica {
		s.history.Add(1)
		s.awaitLoops()
	}
	s.store.KS.LockAll()
	s.store.SetFollowing(r.Replica)
	s.store.KS.UnlockAll()
	if !r.Replica {
		if log := s.store.Log(); s.cfg.Load().AppendOnly && (log == nil || !log.OnDisk()) {
			s.setGate(gateNoAOF, true)
			go s.restoreAOF()
		}
		s.mu.Lock()
		s.settleGatesLocked(s.cfg.Load())
		s.mu.Unlock()
		s.store.LowerNextExpiry(s.earliestExpiry())
		s.net.Loops()[0].Post(s.armExpiry)
	}
}

// SetEnoughReplicas says whether there are as many good replicas as min-replicas-to-write wants. Any goroutine.
func (s *Server) SetEnoughReplicas(enough bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles.fewReplicas = !enough
	s.settleGatesLocked(s.cfg.Load())
}

// settleGatesLocked sets the gates by the role and the configuration.
func (s *Server) settleGatesLocked(v *config.Values) {
	r := &s.roles
	// A server that has just ceased to be a replica takes writes when they go into the log again.
	s.setGate(gateReadOnly, (r.Replica || s.store.Following.Load()) && (v.ReplicaReadOnly || !r.Replica))
	s.setGate(gateStale, r.Replica && !r.LinkUp && !v.ReplicaServeStale)
	s.setGate(gateFewReplicas, !r.Replica && r.fewReplicas)
	s.hoard.Store(r.Replica && v.ReplicaIgnoreMaxMemory)
}

// setGate closes or opens a gate. Any goroutine; commands see it at once, those that were let in before go on.
func (s *Server) setGate(gate uint32, closed bool) {
	if closed {
		s.gates.Or(gate)
	} else {
		s.gates.And(^gate)
	}
}

// gateRefusal is the error of a command, or of a transaction, in the order Redis checks: any has the flags that one of its commands has, all those
// that every one has.
func gateRefusal(gates uint32, any, all command.Flags) string {
	switch {
	case gates&gateNoAOF != 0 && any&command.Write != 0:
		return errNoAOF
	case gates&gateFewReplicas != 0 && any&command.Write != 0:
		return errNoReplicas
	case gates&gateReadOnly != 0 && any&command.Write != 0:
		return errReadOnly
	case gates&gateStale != 0 && all&command.Stale == 0:
		return errMasterDown
	case gates&gateLoading != 0 && all&command.Loading == 0:
		return errLoading
	}
	return ""
}
