package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/config"
	"tidemark/engine/evict"
	"tidemark/engine/value"
)

// applyConfig copies into the server what is read for every command, where it costs an atomic load.
func (s *Server) applyConfig(v *config.Values) error {
	s.needAuth.Store(v.RequirePass != "")
	s.protected.Store(v.ProtectedMode && v.RequirePass == "")
	s.maxMemory.Store(v.MaxMemoryBytes)
	s.setClientLimit(v)
	st := s.store
	st.LFU.Store(v.MaxMemoryPolicy.LFU())
	st.LFULogFactor.Store(v.LFULogFactor)
	st.LFUDecayMinutes.Store(v.LFUDecayMinutes)
	st.LazyExpire.Store(v.LazyExpire)
	st.LazyServerDel.Store(v.LazyServerDel)
	st.LatencyTracking.Store(v.LatencyTracking)
	st.MaxBulkBytes.Store(v.ProtoMaxBulkBytes)
	st.SetGating(v.AppendOnly && v.AppendFsync == aof.Always)
	policy, err := evict.ParsePolicy(v.MaxMemoryPolicy.String())
	if err != nil {
		return err
	}
	s.evict.SetPolicy(policy)
	st.OwnIntegers.Store(v.MaxMemoryBytes > 0 && policy.ByAccess())
	s.evict.SetSamples(int(v.MaxMemorySamples))
	s.evict.SetLazy(v.LazyEviction)
	s.log.SetLevel(v.LogLevel)
	setLimits(&s.store.Limits, v)
	return nil
}

// setLimits sets until when collections are small.
func setLimits(l *value.Limits, v *config.Values) {
	l.HashEntries.Store(v.HashMaxEntries)
	l.HashValue.Store(v.HashMaxValueBytes)
	l.SetIntset.Store(v.SetMaxIntset)
	l.SetEntries.Store(v.SetMaxEntries)
	l.SetValue.Store(v.SetMaxValueBytes)
	l.ZSetEntries.Store(v.ZSetMaxEntries)
	l.ZSetValue.Store(v.ZSetMaxValueBytes)
	l.ListSize.Store(v.ListMaxListpackSize)
	l.ListDepth.Store(v.ListCompressDepth)
	l.StreamBytes.Store(v.StreamNodeMaxBytes)
	l.StreamEntries.Store(v.StreamNodeMaxEntries)
	l.HLLSparseBytes.Store(v.HLLSparseMaxBytes)
}

// watchConfig makes CONFIG SET take effect at once. Directives that are read through Config.Load where they matter need nothing here.
func (s *Server) watchConfig() {
	s.cfg.OnResetStat(s.resetStats)
	// The steps that can fail come first: when one does, nothing else has changed yet.
	s.cfg.OnChangeOf([]string{"bind", "port"}, func(old, v *config.Values) error {
		if err := s.net.Rebind(tcpAddrs(v)); err != nil {
			s.log.Warningf("Listening on other addresses failed: %v", err)
			if !slices.Equal(old.Bind, v.Bind) {
				return errors.New("Failed to bind to specified addresses.")
			}
			return errors.New("Unable to listen on this port. Check server logs.")
		}
		return nil
	})
	s.cfg.OnChange("appendonly", func(_, v *config.Values) error {
		if err := s.switchAppendOnly(v); err != nil {
			s.log.Warningf("Switching appendonly failed: %v", err)
			return errors.New("Unable to turn on AOF. Check server logs.")
		}
		s.store.SetGating(v.AppendOnly && v.AppendFsync == aof.Always)
		return nil
	})
	s.cfg.OnChangeOf([]string{"repl-backlog-size", "client-output-buffer-limit"}, func(_, v *config.Values) error {
		s.limitTail(v)
		return nil
	})
	s.cfg.OnChange("aof-history-bytes", func(_, v *config.Values) error {
		if log := s.store.Log(); log != nil {
			log.SetHistoryBytes(v.HistoryBytes)
		}
		return nil
	})
	s.cfg.OnChange("appendfsync", func(_, v *config.Values) error {
		s.setPolicy(v)
		return nil
	})
	s.cfg.OnChangeOf([]string{"maxclients", "timeout", "proto-max-bulk-len", "client-query-buffer-limit", "client-output-buffer-limit"},
		func(_, v *config.Values) error {
			s.net.SetLimits(limits(v))
			s.setReplicaLimits(v)
			return nil
		})
	s.cfg.OnChangeOf([]string{"replica-read-only", "replica-serve-stale-data", "replica-ignore-maxmemory"}, func(_, v *config.Values) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settleGatesLocked(v)
		return nil
	})
	s.cfg.OnChange("tcp-keepalive", func(_, v *config.Values) error {
		s.net.SetKeepAlive(time.Duration(v.TCPKeepAliveSeconds) * time.Second)
		return nil
	})
	s.cfg.OnChangeOf([]string{"auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size"}, func(_, v *config.Values) error {
		s.rewrite.checkAt.Store(0)
		return nil
	})
	s.cfg.OnChangeOf([]string{"save", "stop-writes-on-bgsave-error"}, func(_, v *config.Values) error {
		// The new points are in force, and looked at, from the end of the next turn on.
		s.saves.next.Store(0)
		return nil
	})
	s.cfg.OnChangeOf([]string{"requirepass", "protected-mode", "maxmemory", "maxmemory-clients", "maxmemory-policy", "maxmemory-samples",
		"maxmemory-eviction-tenacity", "lazyfree-lazy-eviction", "lfu-log-factor", "lfu-decay-time", "lazyfree-lazy-expire", "lazyfree-lazy-server-del", "proto-max-bulk-len",
		"latency-tracking", "loglevel", "hash-max-listpack-entries", "hash-max-listpack-value", "set-max-intset-entries", "set-max-listpack-entries",
		"set-max-listpack-value", "zset-max-listpack-entries", "zset-max-listpack-value", "list-max-listpack-size", "list-compress-depth",
		"stream-node-max-bytes", "stream-node-max-entries", "hll-sparse-max-bytes"},
		func(_, v *config.Values) error {
			if err := s.applyConfig(v); err != nil {
				return err
			}
			if s.clientsExceed() {
				s.evictClients()
			}
			return nil
		})
}

// setPolicy changes appendfsync. The log learns of a stricter one before replies begin to wait, so that they wait for something that
// happens; of a laxer one after they ceased to.
func (s *Server) setPolicy(v *config.Values) {
	log := s.store.Log()
	gate := v.AppendOnly && v.AppendFsync == aof.Always
	if !gate {
		s.store.SetGating(false)
	}
	if log != nil {
		log.SetPolicy(v.AppendFsync)
		if !gate {
			// Replies that wait already are waiting for a sync that is no longer due by itself.
			go func() {
				log.Commit(aof.GoalSync)
				s.wakeInterested()
			}()
		}
	}
	s.store.SetGating(gate)
}

func (s *Server) configCommand() *command.Descriptor {
	const flags = command.Admin | command.NoScript | command.Loading | command.Stale
	policy := []string{"request_policy:all_nodes", "response_policy:all_succeeded"}
	return &command.Descriptor{
		Name: "config", Arity: -2, Group: "server", Since: "2.0.0", Complexity: "Depends on subcommand.",
		Summary: "Commands about the configuration.",
		Sub: []*command.Descriptor{
			{
				Name: "get", Arity: -3, Flags: flags, Handler: s.configGet, Group: "server", Since: "2.0.0",
				Complexity: "O(N) when N is the number of configuration parameters provided",
				Summary:    "Returns the values of the directives that match the patterns.",
				History:    [][2]string{{"7.0.0", "Added the ability to pass multiple pattern parameters in one call"}},
				Args:       []command.Arg{{Name: "parameter", Type: "string", Flags: command.Multiple}},
			},
			{
				Name: "help", Arity: 2, Flags: command.Loading | command.Stale, Handler: s.help, Group: "server", Since: "5.0.0",
				Complexity: "O(1)", Summary: "Shows the subcommands.",
			},
			{
				Name: "resetstat", Arity: 2, Flags: flags, Group: "server", Since: "2.0.0", Complexity: "O(1)",
				Summary: "Sets the counters of INFO back to zero.",
				Handler: s.configResetStat, Tips: policy,
			},
			{
				Name: "rewrite", Arity: 2, Flags: flags, Group: "server", Since: "2.8.0", Complexity: "O(1)",
				Summary: "Writes the configuration in force to the configuration file.", Handler: s.configRewrite,
				Tips: policy,
			},
			{
				Name: "set", Arity: -4, Flags: flags, Handler: s.configSet, Scope: command.ScopeOwn, Group: "server", Since: "2.0.0",
				Complexity: "O(N) when N is the number of configuration parameters provided",
				Summary:    "Changes directives while the server runs, all or none.",
				History:    [][2]string{{"7.0.0", "Added the ability to set multiple parameters in one call."}},
				Args: []command.Arg{{Name: "data", Type: "block", Flags: command.Multiple, Args: []command.Arg{
					{Name: "parameter", Type: "string"}, {Name: "value", Type: "string"}}}},
				Tips: policy,
			},
		},
	}
}

func (s *Server) configGet(c *command.Ctx) {
	patterns := make([]string, 0, len(c.Args)-2)
	for _, a := range c.Args[2:] {
		patterns = append(patterns, string(a))
	}
	list := s.cfg.Get(patterns...)
	c.W.Map(len(list) / 2)
	for _, x := range list {
		c.W.BulkString(x)
	}
}

// configRewrite waits for the disk, so it does that on a goroutine of its own while its client is held; within a transaction, whose replies
// must stay together, on the loop.
func (s *Server) configResetStat(c *command.Ctx) {
	c.PublishBefore()
	if s.configuring.TryLock() {
		defer s.configuring.Unlock()
		s.cfg.ResetStat()
		c.W.OK()
		return
	}
	s.changeConfig(c, func() string {
		s.cfg.ResetStat()
		return ""
	})
}

func (s *Server) configRewrite(c *command.Ctx) {
	work := func() string {
		if err := s.cfg.Rewrite(); err != nil {
			s.log.Warningf("CONFIG REWRITE failed: %v", err)
			return err.Error()
		}
		s.log.Noticef("CONFIG REWRITE executed with success.")
		return ""
	}
	s.changeConfig(c, work)
}

// changeConfig runs work, which asks the configuration to change, in the background: hooks wait for the disk, for every shard's lock, for
// other loops. Within EXEC it runs at once, unless somebody else changes the configuration just now: waiting for them could be waiting
// for ever, since they may be waiting for the locks that EXEC holds.
func (s *Server) changeConfig(c *command.Ctx, work func() (refusal string)) {
	if !c.InBlock() {
		c.Client.(*Session).inBackground(func() string {
			s.configuring.Lock()
			defer s.configuring.Unlock()
			return work()
		})
		return
	}
	if !s.configuring.TryLock() {
		c.W.Error("ERR another client is changing the configuration; try again")
		return
	}
	defer s.configuring.Unlock()
	if refusal := work(); refusal != "" {
		c.W.Error(refusal)
	} else {
		c.W.OK()
	}
}

// outsideExec are the directives that cannot change within EXEC: applying them waits for locks that EXEC holds, or for others that may be
// waiting for those.
var outsideExec = []string{"appendonly", "bind", "port", "maxmemory-policy"}

func (s *Server) configSet(c *command.Ctx) {
	pairs := make([]string, 0, len(c.Args)-2)
	for _, a := range c.Args[2:] {
		pairs = append(pairs, string(a))
	}
	if c.InBlock() {
		for i := 0; i < len(pairs); i += 2 {
			if slices.Contains(outsideExec, strings.ToLower(pairs[i])) {
				c.W.Error(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - can't set it inside a transaction", pairs[i]))
				return
			}
		}
	}
	who := config.Caller{Local: c.Client.(*Session).conn.IsLoopback(), Loading: s.store.Loading.Load()}
	s.changeConfig(c, func() string {
		if err := s.cfg.Set(pairs, who); err != nil {
			return err.Error()
		}
		return ""
	})
}
