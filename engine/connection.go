package engine

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"tidemark/engine/command"
)

const (
	errProtected = "DENIED Tidemark is running in protected mode because protected mode is enabled and no password is set for the " +
		"default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external " +
		"computers, you may adopt one of the following solutions: 1) Disable protected mode with 'CONFIG SET protected-mode no' from the " +
		"loopback interface, but make sure the server is not reachable from the internet if you do so; use CONFIG REWRITE to make the " +
		"change permanent. 2) Set 'protected-mode no' in the configuration file and restart the server. 3) Set up an authentication " +
		"password for the default user with 'requirepass'."
	errHelloNoAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> " +
		"option can be used to authenticate the client and select the RESP protocol version at the same time"
	errWrongPass  = "WRONGPASS invalid username-password pair or user is disabled."
	errNoPassword = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	errClientName = "ERR Client names cannot contain spaces, newlines or special characters."
)

// connectionCommands are those about the connection itself; CLIENT stands in clientCommands.
func (s *Server) connectionCommands() []*command.Descriptor {
	const free = command.NoScript | command.Loading | command.Stale | command.Fast | command.NoAuth
	return []*command.Descriptor{
		{
			Name: "auth", Arity: -2, Flags: free | command.AllowBusy, Categories: command.CatConnection, Handler: s.auth,
			Group: "connection", Since: "1.0.0", Summary: "Authenticates the connection.",
			Complexity: "O(N) where N is the number of passwords defined for the user",
			History:    [][2]string{{"6.0.0", "Added ACL style (username and password)."}},
			Args: []command.Arg{{Name: "username", Type: "string", Flags: command.Optional, Since: "6.0.0"},
				{Name: "password", Type: "string"}},
		},
		{
			Name: "echo", Arity: 2, Flags: command.Loading | command.Stale | command.Fast, Categories: command.CatConnection, Handler: echo,
			Group: "connection", Since: "1.0.0", Complexity: "O(1)", Summary: "Returns its argument.",
			Args: []command.Arg{{Name: "message", Type: "string"}},
		},
		{
			Name: "hello", Arity: -1, Flags: free | command.AllowBusy, Categories: command.CatConnection, Handler: s.hello,
			Group: "connection", Since: "6.0.0", Complexity: "O(1)",
			Summary: "Greets the server: sets the protocol version, and may authenticate and name the connection.",
			History: [][2]string{{"6.2.0", "`protover` made optional; when called without arguments the command reports the current connection's context."}},
			Args: []command.Arg{{Name: "arguments", Type: "block", Flags: command.Optional, Args: []command.Arg{
				{Name: "protover", Type: "integer"},
				{Name: "auth", Type: "block", Token: "AUTH", Flags: command.Optional, Args: []command.Arg{
					{Name: "username", Type: "string"}, {Name: "password", Type: "string"}}},
				{Name: "clientname", Type: "string", Token: "SETNAME", Flags: command.Optional},
			}}},
		},
		{
			Name: "ping", Arity: -1, Flags: command.Fast, Categories: command.CatConnection, Handler: ping,
			Group: "connection", Since: "1.0.0", Complexity: "O(1)", Summary: "Returns PONG, or its argument: the server is alive.",
			Args: []command.Arg{{Name: "message", Type: "string", Flags: command.Optional}},
			Tips: []string{"request_policy:all_shards", "response_policy:all_succeeded"},
		},
		{
			Name: "quit", Arity: -1, Flags: free | command.AllowBusy, Categories: command.CatConnection, Immediate: true, Handler: quit,
			Group: "connection", Since: "1.0.0", Complexity: "O(1)", Summary: "Closes the connection.",
			DocFlags: []string{"deprecated"}, Deprecated: "7.2.0", ReplacedBy: "just closing the connection",
		},
		{
			Name: "reset", Arity: 1, Flags: free | command.AllowBusy, Categories: command.CatConnection, Immediate: true, Handler: s.reset,
			Group: "connection", Since: "6.2.0", Complexity: "O(1)", Summary: "Gives the connection the state of a new one.",
		},
		{
			Name: "select", Arity: 2, Flags: command.Loading | command.Stale | command.Fast, Categories: command.CatConnection,
			Handler: selectDB, Group: "connection", Since: "1.0.0", Complexity: "O(1)", Summary: "Changes the selected database.",
			Args: []command.Arg{{Name: "index", Type: "integer"}},
		},
	}
}

func ping(c *command.Ctx) {
	switch len(c.Args) {
	case 1:
		c.W.Simple("PONG")
	case 2:
		c.W.Bulk(c.Args[1])
	default:
		c.W.Error(command.WrongArity(c.Cmd))
	}
}

func echo(c *command.Ctx) { c.W.Bulk(c.Args[1]) }

func quit(c *command.Ctx) {
	c.W.OK()
	c.Client.(*Session).conn.CloseAfterReply()
}

func selectDB(c *command.Ctx) {
	db, ok := c.Int(1)
	if !ok {
		return
	}
	if db < 0 || db >= int64(c.Store.KS.Databases()) {
		c.W.Error(command.ErrDBIndex)
		return
	}
	c.DB = int(db)
	c.W.OK()
}

func (s *Server) auth(c *command.Ctx) {
	user, pass := []byte("default"), c.Args[1]
	switch len(c.Args) {
	case 2:
		if s.cfg.Load().RequirePass == "" {
			c.W.Error(errNoPassword)
			return
		}
	case 3:
		user, pass = c.Args[1], c.Args[2]
	default:
		c.W.Error(command.ErrSyntax)
		return
	}
	if !s.authenticate(c.Client.(*Session), user, pass) {
		c.W.Error(errWrongPass)
		return
	}
	c.W.OK()
}

// authenticate checks a user's password, and lets the session in when it is right.
func (s *Server) authenticate(ss *Session, user, pass []byte) bool {
	want := s.cfg.Load().RequirePass
	if string(user) != "default" || want != "" && !samePassword(pass, want) {
		s.stats.authFailures.Add(1)
		return false
	}
	ss.user = "default"
	ss.setAuthed(true)
	return true
}

func (ss *Session) setAuthed(v bool) {
	ss.authed = v
	ss.conn.SetAuthenticated(v)
}

// samePassword takes the same time wherever the two differ, and whatever their lengths.
func samePassword(got []byte, want string) bool {
	a, b := sha256.Sum256(got), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (s *Server) hello(c *command.Ctx) {
	ss := c.Client.(*Session)
	resp3 := c.W.RESP3
	at := 1
	if len(c.Args) > 1 {
		v, ok := command.ParseInt(c.Args[1])
		if !ok {
			c.W.Error("ERR Protocol version is not an integer or out of range")
			return
		}
		if v < 2 || v > 3 {
			c.W.Error("NOPROTO unsupported protocol version")
			return
		}
		resp3 = v == 3
		at = 2
	}
	var user, pass, name []byte
	withAuth, withName := false, false
	for ; at < len(c.Args); at++ {
		left := len(c.Args) - at - 1
		switch {
		case command.Is(c.Args[at], "auth") && left >= 2:
			user, pass, withAuth = c.Args[at+1], c.Args[at+2], true
			at += 2
		case command.Is(c.Args[at], "setname") && left >= 1:
			name, withName = c.Args[at+1], true
			if !validName(name) {
				c.W.Error(errClientName)
				return
			}
			at++
		default:
			c.W.Error(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", c.Args[at]))
			return
		}
	}
	if withAuth && !s.authenticate(ss, user, pass) {
		c.W.Error(errWrongPass)
		return
	}
	if !ss.authed && s.needAuth.Load() {
		c.W.Error(errHelloNoAuth)
		return
	}
	if withName {
		ss.setName(name)
	}
	c.W.RESP3 = resp3
	proto := int64(2)
	if resp3 {
		proto = 3
	}
	w := c.W
	w.Map(7)
	w.BulkString("server")
	w.BulkString("redis")
	w.BulkString("version")
	w.BulkString(RedisVersion)
	w.BulkString("proto")
	w.Int(proto)
	w.BulkString("id")
	w.Int(ss.id)
	w.BulkString("mode")
	w.BulkString("standalone")
	w.BulkString("role")
	if s.Role().Replica {
		w.BulkString("replica")
	} else {
		w.BulkString("master")
	}
	w.BulkString("modules")
	w.Array(0)
}

// reset gives the connection the state of a new one; its name goes, what its library said of itself stays.
func (s *Server) reset(c *command.Ctx) {
	ss := c.Client.(*Session)
	if ss.replica {
		c.W.Error("ERR can only reset normal client connections")
		return
	}
	ss.multi = nil
	ss.unwatch(c.Store)
	ss.reply = replyOn
	ss.noTouch, c.NoTouch = false, false
	ss.noEvict.Store(false)
	ss.showFlags()
	ss.setName(nil)
	ss.user = "default"
	ss.setAuthed(!s.needAuth.Load())
	c.DB = 0
	c.W.RESP3 = false
	c.W.Simple("RESET")
}
