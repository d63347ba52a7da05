package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/config"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/rdb"
)

const errDebug = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local " +
	"connection, otherwise you need to set this option in the configuration file, and then restart the server."

// debugSub is one subcommand of DEBUG. COMMAND does not know them, as in Redis: they are no interface to build on.
type debugSub struct {
	name     string
	data     bool // needs the data: refused while they are loaded
	min, max int  // arguments behind the name; max -1: any number
	usage    string
	summary  string
	run      func(s *Server, c *command.Ctx, args [][]byte)
}

func debugSubs() []debugSub {
	return []debugSub{
		{"change-repl-id", false, 0, 0, "CHANGE-REPL-ID", "Take a new replication id.", (*Server).debugChangeReplID},
		{"digest", true, 0, 0, "DIGEST", "Return a digest of the whole dataset.", (*Server).debugDigest},
		{"digest-value", true, 0, -1, "DIGEST-VALUE <key> [<key> ...]", "Return a digest of each key's value and expiry.", (*Server).debugDigestValue},
		{"config-rewrite-force-all", false, 0, 0, "CONFIG-REWRITE-FORCE-ALL", "Like CONFIG REWRITE, but write all directives, also those that have their default.",
			(*Server).debugRewriteAll},
		{"error", false, 1, 1, "ERROR <string>", "Reply with this error.", func(_ *Server, c *command.Ctx, a [][]byte) { c.W.Error(string(a[0])) }},
		{"listpack", true, 1, 1, "LISTPACK <key>", "Write the packed list that a small collection is, an element a line, to the server's log.", (*Server).debugListpack},
		{"loadaof", true, 0, 0, "LOADAOF", "Drop the data and load them again from the AOF.", (*Server).debugLoadAOF},
		{"log", false, 1, 1, "LOG <message>", "Write a message to the server's log.", func(s *Server, c *command.Ctx, a [][]byte) {
			s.log.Warningf("DEBUG LOG: %s", a[0])
			c.W.OK()
		}},
		{"object", true, 1, 2, "OBJECT <key>", "Describe how a value is held.", (*Server).debugObject},
		{"panic", false, 0, 0, "PANIC", "Crash the server.", func(*Server, *command.Ctx, [][]byte) { panic("DEBUG PANIC called at Unix time " + time.Now().String()) }},
		{"populate", true, 1, 3, "POPULATE <count> [<prefix>] [<size>]", "Create <count> string keys named key:<num>, or <prefix>:<num>.", (*Server).debugPopulate},
		{"protocol", false, 1, 1, "PROTOCOL <type>", "Reply with a test value of the type.", func(_ *Server, c *command.Ctx, a [][]byte) { debugProtocol(c, a[0]) }},
		{"quicklist-packed-threshold", false, 1, 1, "QUICKLIST-PACKED-THRESHOLD <size>",
			"Give elements of that size and more a block of a large list to themselves (0: only those that need it).", (*Server).debugAlone},
		{"reload", true, 0, -1, "RELOAD [MERGE] [NOFLUSH] [NOSAVE]", "Save the data to the RDB file and load them again.", (*Server).debugReload},
		{"segfault", false, 0, 0, "SEGFAULT", "Crash the server with a SIGSEGV.", func(_ *Server, c *command.Ctx, _ [][]byte) {
			if err := syscall.Kill(os.Getpid(), syscall.SIGSEGV); err != nil {
				c.W.Error("ERR " + err.Error())
			}
		}},
		{"set-active-expire", false, 1, 1, "SET-ACTIVE-EXPIRE <0|1>", "Switch active expiry off or on.", (*Server).debugSetActiveExpire},
		{"set-skip-checksum-validation", false, 1, 1, "SET-SKIP-CHECKSUM-VALIDATION <0|1>", "Let RESTORE take payloads whose checksum is wrong, or refuse them.",
			(*Server).debugSkipChecksum},
		{"sleep", false, 1, 1, "SLEEP <seconds>", "Stop the server for so long. Decimals allowed.", (*Server).debugSleep},
	}
}

func (s *Server) debugCommands() []*command.Descriptor {
	subs := map[string]debugSub{}
	for _, d := range debugSubs() {
		subs[d.name] = d
	}
	return []*command.Descriptor{{
		Name: "debug", Arity: -2, Flags: command.Admin | command.NoScript | command.Loading | command.Stale, Scope: command.ScopeOwn,
		Group: "server", Since: "1.0.0", Complexity: "Depends on subcommand.", DocFlags: []string{"syscmd"},
		Summary: "Commands for debugging and for tests.",
		Handler: func(c *command.Ctx) { s.debug(c, subs) },
	}}
}

func (s *Server) debug(c *command.Ctx, subs map[string]debugSub) {
	ss, ok := c.Client.(*Session)
	if !ok || !s.cfg.Load().EnableDebugCommand.Allows(ss.conn.IsLoopback()) {
		c.W.Error(errDebug)
		return
	}
	name := strings.ToLower(string(c.Args[1]))
	if name == "help" && len(c.Args) == 2 {
		lines := []string{"DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}
		for _, d := range debugSubs() {
			lines = append(lines, d.usage, "    "+d.summary)
		}
		writeHelp(c, append(lines, "HELP", "    Print this help."))
		return
	}
	d, known := subs[name]
	args := c.Args[2:]
	if !known || len(args) < d.min || d.max >= 0 && len(args) > d.max {
		c.W.Error(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%.128s'. Try DEBUG HELP.", c.Args[1]))
		return
	}
	if d.data && s.Loading() {
		c.W.Error(errLoading)
		return
	}
	d.run(s, c, args)
}

// outsideBlock refuses what takes all the locks itself within EXEC, which holds them.
func outsideBlock(c *command.Ctx) bool {
	if c.InBlock() {
		c.W.Error(errNotInMulti)
		return false
	}
	return true
}

func (s *Server) debugChangeReplID(c *command.Ctx, _ [][]byte) {
	s.changeConfig(c, func() string { // the log may be exchanged, and its id is kept on disk
		s.log.Noticef("Changing replication ID after receiving change-repl-id")
		s.newHistory()
		if log := s.store.Log(); log != nil {
			if err := log.SetIdentity(randomID(), nil); err != nil {
				return "ERR " + err.Error()
			}
		}
		return ""
	})
}

func (s *Server) debugRewriteAll(c *command.Ctx, _ [][]byte) {
	s.changeConfig(c, func() string {
		if err := s.cfg.RewriteAll(); err != nil {
			return err.Error()
		}
		return ""
	})
}

func (s *Server) debugLoadAOF(c *command.Ctx, _ [][]byte) {
	if !outsideBlock(c) {
		return
	}
	c.Client.(*Session).inBackground(func() string {
		s.configuring.Lock()
		defer s.configuring.Unlock()
		if err := s.loadAOF(); err != nil {
			s.log.Warningf("DEBUG LOADAOF failed: %v", err)
			return "ERR Error trying to load the AOF files, check server logs"
		}
		s.log.Warningf("Append Only File loaded by DEBUG LOADAOF")
		return ""
	})
}

func (s *Server) debugReload(c *command.Ctx, args [][]byte) {
	save, flush := true, true
	for _, a := range args {
		switch {
		case command.Is(a, "merge"):
			// Keys that are there already are replaced in any case.
		case command.Is(a, "noflush"):
			flush = false
		case command.Is(a, "nosave"):
			save = false
		default:
			c.W.Error("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
			return
		}
	}
	if !outsideBlock(c) {
		return
	}
	c.Client.(*Session).inBackground(func() string {
		if err := s.reload(save, flush); err != nil {
			s.log.Warningf("DEBUG RELOAD failed: %v", err)
			return "ERR Error trying to load the RDB dump, check server logs: " + err.Error()
		}
		s.log.Warningf("DB reloaded by DEBUG RELOAD")
		return ""
	})
}

func (s *Server) debugSetActiveExpire(c *command.Ctx, args [][]byte) {
	off := strings.TrimSpace(string(args[0])) == "0"
	s.store.NoActiveExpire.Store(off)
	s.net.Loops()[0].Post(s.armExpiry)
	c.W.OK()
}

func (s *Server) debugSkipChecksum(c *command.Ctx, args [][]byte) {
	s.store.NoDumpSum.Store(strings.TrimSpace(string(args[0])) != "0")
	c.W.OK()
}

// debugSleep stops every command, as a hung server would, but for the loops' other work.
func (s *Server) debugSleep(c *command.Ctx, args [][]byte) {
	sec, err := strconv.ParseFloat(string(args[0]), 64)
	if err != nil || sec < 0 || sec > 1e6 {
		sec = 0
	}
	d := time.Duration(sec * float64(time.Second))
	if c.InBlock() {
		time.Sleep(d)
	} else {
		s.store.KS.LockAll()
		time.Sleep(d)
		s.store.KS.UnlockAll()
	}
	c.W.OK()
}

// debugObject describes a value. The address is the entry's place in its shard's arena.
func (s *Server) debugObject(c *command.Ctx, args [][]byte) {
	if len(args) == 2 && !command.Is(args[1], "fast") {
		c.W.Error(command.ErrSyntax)
		return
	}
	s.withKey(c, args[0], func(k *command.Key) {
		r := k.Shard.Find(c.DB, k.Hash, k.Name)
		if r == 0 || c.Expired(k.Shard, r) {
			c.W.Error(command.ErrNoSuchKey)
			return
		}
		word := k.Shard.Access(r)
		size := ""
		if len(args) == 1 {
			// DUMP adds a byte for the type, two for the version and eight for the checksum.
			size = fmt.Sprintf(" serializedlength:%d", len(rdb.AppendDump(nil, k.Shard, r, s.cfg.Load().RDBCompression))-11)
		}
		list := ""
		if len(args) == 1 && k.Shard.Encoding(r) == keyspace.QuickList {
			list = s.quickListStats(k.Shard, r)
		}
		c.W.Simple(fmt.Sprintf("Value at:0x%x refcount:%d encoding:%s%s lru:%d lru_seconds_idle:%d%s", uint64(r),
			c.RefCount(k.Shard, r), k.Shard.Encoding(r), size, word, c.IdleSeconds(word), list))
	})
}

// quickListStats describes the blocks of a large list. Their sizes are those of the packed lists, compressed or not.
func (s *Server) quickListStats(sh *keyspace.Shard, r keyspace.Ref) string {
	m := sh.Open(r)
	l := coll.List{Mem: &m}
	blocks, bytes := 0, 0
	for i := uint64(0); i < l.Len(); blocks++ {
		lp, first := l.Block(i)
		bytes += len(lp)
		i = first + uint64(lp.Len())
	}
	v := s.cfg.Load()
	compressed := 0
	if v.ListCompressDepth > 0 {
		compressed = 1
	}
	return fmt.Sprintf(" ql_nodes:%d ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:%d ql_uncompressed_size:%d",
		blocks, float64(l.Len())/float64(blocks), v.ListMaxListpackSize, compressed, bytes)
}

// mostLogged is how many elements DEBUG LISTPACK writes.
const mostLogged = 1000

func (s *Server) debugListpack(c *command.Ctx, args [][]byte) {
	s.withKey(c, args[0], func(k *command.Key) {
		r := k.Shard.Find(c.DB, k.Hash, k.Name)
		switch {
		case r == 0 || c.Expired(k.Shard, r):
			c.W.Error(command.ErrNoSuchKey)
			return
		case k.Shard.Encoding(r) == keyspace.ListPackEx:
			s.logPacked(k.Name, k.Shard.Triples(r))
		case k.Shard.Encoding(r) == keyspace.ListPack:
			s.logPacked(k.Name, k.Shard.Value(r))
		default:
			c.W.Error("ERR Not a listpack encoded object.")
			return
		}
		c.W.Simple("Listpack structure written to the log")
	})
}

func (s *Server) logPacked(key []byte, l packed.List) {
	s.log.Noticef("Packed list of %.128q: %d bytes, %d elements", key, len(l), l.Len())
	var buf [20]byte
	for at, i := packed.HeaderBytes, 0; !l.AtEnd(at) && i < mostLogged; i++ {
		next := l.Next(at)
		s.log.Noticef("  %d: at %d, %d bytes: %.128q", i, at, next-at, l.Text(at, &buf))
		at = next
	}
}

func (s *Server) debugAlone(c *command.Ctx, args [][]byte) {
	n, err := config.ParseMemory(string(args[0]))
	if err != nil || n >= 4<<30 {
		c.W.Error("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
		return
	}
	s.store.Limits.ListAlone.Store(int64(n))
	c.W.OK()
}

// withKey calls f with the key's shard locked.
func (s *Server) withKey(c *command.Ctx, name []byte, f func(*command.Key)) {
	k := s.store.MakeKey(name)
	if c.InBlock() {
		f(&k)
		return
	}
	k.Shard.Lock()
	defer k.Shard.Unlock()
	f(&k)
}

// debugPopulate creates the keys that are not there yet. When the ring is full it is tried again later, and passes over what it
// made before.
func (s *Server) debugPopulate(c *command.Ctx, args [][]byte) {
	n, ok := command.ParseInt(args[0])
	if !ok || n < 0 {
		c.W.Error("ERR value is out of range, must be positive")
		return
	}
	prefix := "key"
	if len(args) > 1 {
		prefix = string(args[1])
	}
	size := int64(0)
	if len(args) > 2 {
		if size, ok = command.ParseInt(args[2]); !ok || size < 0 || size > s.cfg.Load().ProtoMaxBulkBytes {
			c.W.Error("ERR value is out of range, must be positive")
			return
		}
	}
	set := []byte("SET")
	for i := int64(0); i < n; i++ {
		name := []byte(prefix + ":" + strconv.FormatInt(i, 10))
		value := []byte("value:" + strconv.FormatInt(i, 10))
		if size > 0 {
			value = append(make([]byte, 0, size), value[:min(int64(len(value)), size)]...)[:size]
		}
		create := func() {
			k := s.store.MakeKey(name)
			if k.Shard.Find(c.DB, k.Hash, name) != 0 {
				return
			}
			k.Shard.PutString(c.DB, k.Hash, 0, name, value, command.StringEncoding(value), keyspace.NoExpire, c.AccessClock())
			c.Changed(&k)
			c.Effect(set, name, value)
		}
		if c.InBlock() {
			create()
		} else if !c.AtomicallyKeys([][]byte{name}, nil, create) {
			c.NoRoom()
			return
		}
	}
	c.W.OK()
}

// debugProtocol replies with one value of each kind the protocol knows.
func debugProtocol(c *command.Ctx, kind []byte) {
	w := c.W
	switch strings.ToLower(string(kind)) {
	case "string":
		w.BulkString("Hello World")
	case "integer":
		w.Int(12345)
	case "double":
		w.Double(3.141)
	case "null":
		w.Null()
	case "array":
		w.Array(3)
		for j := int64(0); j < 3; j++ {
			w.Int(j)
		}
	case "set":
		w.Set(3)
		for j := int64(0); j < 3; j++ {
			w.Int(j)
		}
	case "map":
		w.Map(3)
		for j := int64(0); j < 3; j++ {
			w.Int(j)
			w.Bool(j == 1)
		}
	case "attrib":
		if w.RESP3 {
			w.Attribute(1)
			w.BulkString("key-popularity")
			w.Array(2)
			w.BulkString("key:123")
			w.Int(90)
		}
		w.BulkString("Some real reply following the attribute")
	case "push":
		if !w.RESP3 {
			w.Error("ERR RESP2 is not supported by this command")
			return
		}
		w.BulkString("Some real reply following the push reply")
		w.Push(2) // behind the reply since Redis 7.2
		w.BulkString("server-cpu-usage")
		w.Int(42)
	case "verbatim":
		w.Verbatim("txt", "This is a verbatim\nstring")
	case "true":
		w.Bool(true)
	case "false":
		w.Bool(false)
	case "bignum":
		w.BigNumber("1234567999999999999999999999999999999")
	default:
		w.Error("ERR Wrong protocol type name. Please use one of the following: " +
			"string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false")
	}
}
