package engine

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"tidemark/engine/command"
)

func (s *Server) clientCommands() []*command.Descriptor {
	const plain = command.NoScript | command.Loading | command.Stale
	sub := func(name string, arity int, since, summary string, h func(*command.Ctx), more func(d *command.Descriptor)) *command.Descriptor {
		d := &command.Descriptor{
			Name: name, Arity: arity, Flags: plain, Categories: command.CatConnection, Handler: h,
			Group: "connection", Since: since, Complexity: "O(1)", Summary: summary,
		}
		if more != nil {
			more(d)
		}
		return d
	}
	onOff := func(name string) []command.Arg {
		return []command.Arg{{Name: name, Type: "oneof", Args: []command.Arg{
			{Name: "on", Type: "pure-token", Token: "ON"}, {Name: "off", Type: "pure-token", Token: "OFF"}}}}
	}
	token := func(name, word string) command.Arg { return command.Arg{Name: name, Type: "pure-token", Token: word} }
	return []*command.Descriptor{{
		Name: "client", Arity: -2, Group: "connection", Since: "2.4.0", Complexity: "Depends on subcommand.",
		Summary: "Commands about client connections.",
		Sub: []*command.Descriptor{
			sub("getname", 2, "2.6.9", "Returns the connection's name.", clientGetName, nil),
			sub("getredir", 2, "6.0.0", "Returns the client that invalidations of tracked keys go to.",
				func(c *command.Ctx) { c.W.Int(-1) }, nil),
			sub("help", 2, "5.0.0", "Shows the subcommands.", s.help, func(d *command.Descriptor) {
				d.Flags &^= command.NoScript
			}),
			sub("id", 2, "5.0.0", "Returns the connection's id, which is never used twice.",
				func(c *command.Ctx) { c.W.Int(c.Client.(*Session).id) }, nil),
			sub("info", 2, "6.2.0", "Describes this connection.", clientInfo, func(d *command.Descriptor) {
				d.Tips = []string{"nondeterministic_output"}
			}),
			sub("kill", -3, "2.4.0", "Closes connections.", s.clientKill, func(d *command.Descriptor) {
				d.Flags |= command.Admin
				d.Complexity = "O(N) where N is the number of client connections"
				d.History = [][2]string{
					{"2.8.12", "Added new filter format."},
					{"2.8.12", "`ID` option."},
					{"3.2.0", "Added `master` type in for `TYPE` option."},
					{"5.0.0", "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility."},
					{"6.2.0", "`LADDR` option."},
					{"7.4.0", "`MAXAGE` option."},
				}
				opt := func(a command.Arg) command.Arg { a.Flags = command.Optional; return a }
				d.Args = []command.Arg{{Name: "filter", Type: "oneof", Args: []command.Arg{
					{Name: "old-format", Type: "string", Display: "ip:port", Deprecated: "2.8.12"},
					{Name: "new-format", Type: "oneof", Flags: command.Multiple, Args: []command.Arg{
						opt(command.Arg{Name: "client-id", Type: "integer", Token: "ID", Since: "2.8.12"}),
						opt(command.Arg{Name: "client-type", Type: "oneof", Token: "TYPE", Since: "2.8.12", Args: []command.Arg{
							token("normal", "NORMAL"),
							{Name: "master", Type: "pure-token", Token: "MASTER", Since: "3.2.0"},
							token("slave", "SLAVE"),
							{Name: "replica", Type: "pure-token", Token: "REPLICA", Since: "5.0.0"},
							token("pubsub", "PUBSUB"),
						}}),
						opt(command.Arg{Name: "username", Type: "string", Token: "USER"}),
						opt(command.Arg{Name: "addr", Type: "string", Token: "ADDR", Display: "ip:port"}),
						opt(command.Arg{Name: "laddr", Type: "string", Token: "LADDR", Display: "ip:port", Since: "6.2.0"}),
						opt(command.Arg{Name: "skipme", Type: "oneof", Token: "SKIPME", Args: []command.Arg{token("yes", "YES"), token("no", "NO")}}),
						opt(command.Arg{Name: "maxage", Type: "integer", Token: "MAXAGE", Since: "7.4.0"}),
					}},
				}}}
			}),
			sub("list", -2, "2.4.0", "Lists the open connections.", s.clientList, func(d *command.Descriptor) {
				d.Flags |= command.Admin
				d.Complexity = "O(N) where N is the number of client connections"
				d.Tips = []string{"nondeterministic_output"}
				d.History = [][2]string{
					{"2.8.12", "Added unique client `id` field."},
					{"5.0.0", "Added optional `TYPE` filter."},
					{"6.0.0", "Added `user` field."},
					{"6.2.0", "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter."},
					{"7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."},
					{"7.0.3", "Added `ssub` field."},
				}
				d.Args = []command.Arg{
					{Name: "client-type", Type: "oneof", Token: "TYPE", Flags: command.Optional, Since: "5.0.0", Args: []command.Arg{
						token("normal", "NORMAL"), token("master", "MASTER"), token("replica", "REPLICA"), token("pubsub", "PUBSUB")}},
					{Name: "client-id", Type: "integer", Token: "ID", Flags: command.Optional | command.Multiple, Since: "6.2.0"},
				}
			}),
			sub("no-evict", 3, "7.0.0", "Exempts the connection from being closed for the memory it takes.", clientNoEvict,
				func(d *command.Descriptor) { d.Flags |= command.Admin; d.Args = onOff("enabled") }),
			sub("no-touch", 3, "7.2.0", "Lets the connection's commands leave the keys' access times alone.", clientNoTouch,
				func(d *command.Descriptor) { d.Args = onOff("enabled") }),
			sub("pause", -3, "3.0.0", "Holds commands back for a time.", s.clientPause, func(d *command.Descriptor) {
				d.Flags |= command.Admin
				d.History = [][2]string{{"6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option."}}
				d.Args = []command.Arg{{Name: "timeout", Type: "integer"},
					{Name: "mode", Type: "oneof", Flags: command.Optional, Since: "6.2.0", Args: []command.Arg{
						token("write", "WRITE"), token("all", "ALL")}}}
			}),
			sub("reply", 3, "3.2.0", "Switches replies on and off.", clientReply, func(d *command.Descriptor) {
				d.Args = []command.Arg{{Name: "action", Type: "oneof", Args: []command.Arg{
					token("on", "ON"), token("off", "OFF"), token("skip", "SKIP")}}}
			}),
			sub("setinfo", 4, "7.2.0", "Tells the client library's name or version.", clientSetInfo, func(d *command.Descriptor) {
				d.Args = []command.Arg{{Name: "attr", Type: "oneof", Args: []command.Arg{
					{Name: "libname", Type: "string", Token: "LIB-NAME"}, {Name: "libver", Type: "string", Token: "LIB-VER"}}}}
				d.Tips = []string{"request_policy:all_nodes", "response_policy:all_succeeded"}
			}),
			sub("setname", 3, "2.6.9", "Names the connection.", clientSetName, func(d *command.Descriptor) {
				d.Args = []command.Arg{{Name: "connection-name", Type: "string"}}
				d.Tips = []string{"request_policy:all_nodes", "response_policy:all_succeeded"}
			}),
			sub("trackinginfo", 2, "6.2.0", "Tells how keys are tracked for the connection.", clientTrackingInfo, nil),
			sub("unblock", -3, "5.0.0", "Ends another client's wait.", s.clientUnblock, func(d *command.Descriptor) {
				d.Flags |= command.Admin
				d.Complexity = "O(log N) where N is the number of client connections"
				d.Args = []command.Arg{{Name: "client-id", Type: "integer"},
					{Name: "unblock-type", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
						token("timeout", "TIMEOUT"), token("error", "ERROR")}}}
			}),
			sub("unpause", 2, "6.2.0", "Ends CLIENT PAUSE.", func(c *command.Ctx) { s.pause.stop(); c.W.OK() },
				func(d *command.Descriptor) {
					d.Flags |= command.Admin
					d.Complexity = "O(N) Where N is the number of paused clients"
				}),
		},
	}}
}

func clientGetName(c *command.Ctx) {
	// The name is only written on the session's own loop, which is this one.
	name := c.Client.(*Session).pub.name
	if name == "" {
		c.W.Null()
		return
	}
	c.W.BulkString(name)
}

func clientSetName(c *command.Ctx) {
	if !validName(c.Args[2]) {
		c.W.Error(errClientName)
		return
	}
	c.Client.(*Session).setName(c.Args[2])
	c.W.OK()
}

func clientSetInfo(c *command.Ctx) {
	ss := c.Client.(*Session)
	var field *string
	switch {
	case command.Is(c.Args[2], "lib-name"):
		field = &ss.pub.libName
	case command.Is(c.Args[2], "lib-ver"):
		field = &ss.pub.libVer
	default:
		c.W.Error(fmt.Sprintf("ERR Unrecognized option '%s'", c.Args[2]))
		return
	}
	if !validName(c.Args[3]) {
		c.W.Error(fmt.Sprintf("ERR %s cannot contain spaces, newlines or special characters.", c.Args[2]))
		return
	}
	ss.pub.mu.Lock()
	*field = string(c.Args[3])
	ss.pub.mu.Unlock()
	c.W.OK()
}

func clientInfo(c *command.Ctx) {
	ss := c.Client.(*Session)
	ss.publishRunning(c)
	b := appendClient(nil, ss, c.Now/1000)
	c.W.Verbatim("txt", string(append(b, '\n')))
}

// clientType is a client's class as the TYPE filters name it.
type clientType uint8

const (
	typeNormal clientType = iota
	typeMaster
	typeReplica
	typePubSub
	typeAny
)

func parseClientType(b []byte) (clientType, bool) {
	switch {
	case command.Is(b, "normal"):
		return typeNormal, true
	case command.Is(b, "master"):
		return typeMaster, true
	case command.Is(b, "replica"), command.Is(b, "slave"):
		return typeReplica, true
	case command.Is(b, "pubsub"):
		return typePubSub, true
	}
	return 0, false
}

// class is the session's type; nobody can subscribe yet.
func (ss *Session) class() clientType {
	ss.pub.mu.Lock()
	defer ss.pub.mu.Unlock()
	return ss.pub.kind
}

func (s *Server) clientList(c *command.Ctx) {
	want := typeAny
	list := []*Session(nil)
	switch {
	case len(c.Args) == 2:
		list = s.clients.all()
	case len(c.Args) == 4 && command.Is(c.Args[2], "type"):
		t, ok := parseClientType(c.Args[3])
		if !ok {
			c.W.Error(fmt.Sprintf("ERR Unknown client type '%s'", c.Args[3]))
			return
		}
		want = t
		list = s.clients.all()
	case len(c.Args) > 3 && command.Is(c.Args[2], "id"):
		for _, a := range c.Args[3:] {
			id, ok := command.ParseInt(a)
			if !ok {
				c.W.Error("ERR Invalid client ID")
				return
			}
			if ss := s.clients.get(id); ss != nil {
				list = append(list, ss)
			}
		}
	default:
		c.W.Error(command.ErrSyntax)
		return
	}
	c.Client.(*Session).publishRunning(c)
	var b []byte
	for _, ss := range list {
		if want == typeAny || ss.class() == want {
			b = append(appendClient(b, ss, c.Now/1000), '\n')
		}
	}
	c.W.Verbatim("txt", string(b))
}

// killFilter is the conditions of CLIENT KILL; all that are set must hold.
type killFilter struct {
	id          int64 // 0: any
	kind        clientType
	user        []byte
	addr, laddr []byte
	skipMe      bool
	maxAge      int64 // s; 0: any
}

func (s *Server) clientKill(c *command.Ctx) {
	me := c.Client.(*Session)
	if len(c.Args) == 3 {
		for _, ss := range s.clients.all() {
			if ss.pub.addr == string(c.Args[2]) {
				s.kill(ss, me)
				c.W.OK()
				return
			}
		}
		c.W.Error("ERR No such client")
		return
	}
	f, ok := parseKillFilter(c)
	if !ok {
		return
	}
	killed := int64(0)
	for _, ss := range s.clients.all() {
		if f.matches(ss, me, c.Now/1000) {
			s.kill(ss, me)
			killed++
		}
	}
	c.W.Int(killed)
}

func parseKillFilter(c *command.Ctx) (f killFilter, ok bool) {
	f = killFilter{kind: typeAny, skipMe: true}
	if len(c.Args)%2 != 0 {
		c.W.Error(command.ErrSyntax)
		return f, false
	}
	for i := 2; i < len(c.Args); i += 2 {
		name, value := c.Args[i], c.Args[i+1]
		switch {
		case command.Is(name, "id"):
			if f.id, ok = command.ParseInt(value); !ok || f.id < 1 {
				c.W.Error("ERR client-id should be greater than 0")
				return f, false
			}
		case command.Is(name, "maxage"):
			if f.maxAge, ok = command.ParseInt(value); !ok {
				c.W.Error("ERR maxage is not an integer or out of range")
				return f, false
			}
			if f.maxAge <= 0 {
				c.W.Error("ERR maxage should be greater than 0")
				return f, false
			}
		case command.Is(name, "type"):
			if f.kind, ok = parseClientType(value); !ok {
				c.W.Error(fmt.Sprintf("ERR Unknown client type '%s'", value))
				return f, false
			}
		case command.Is(name, "addr"):
			f.addr = value
		case command.Is(name, "laddr"):
			f.laddr = value
		case command.Is(name, "user"):
			if string(value) != "default" {
				c.W.Error(fmt.Sprintf("ERR No such user '%s'", value))
				return f, false
			}
			f.user = value
		case command.Is(name, "skipme") && command.Is(value, "yes"):
			f.skipMe = true
		case command.Is(name, "skipme") && command.Is(value, "no"):
			f.skipMe = false
		default:
			c.W.Error(command.ErrSyntax)
			return f, false
		}
	}
	return f, true
}

func (f *killFilter) matches(ss, me *Session, now int64) bool {
	p := &ss.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case f.id != 0 && ss.id != f.id,
		f.kind != typeAny && p.kind != f.kind,
		f.user != nil && p.user != string(f.user),
		f.addr != nil && p.addr != string(f.addr),
		f.laddr != nil && p.laddr != string(f.laddr),
		f.skipMe && ss == me,
		f.maxAge != 0 && now-p.net.Created < f.maxAge:
		return false
	}
	return true
}

// kill closes a client; the one that asked for it still gets its reply. It is off the list from now on, though its loop may
// take a moment to close it.
func (s *Server) kill(ss, me *Session) {
	if ss == me {
		ss.conn.CloseAfterReply()
		return
	}
	s.clients.remove(ss)
	ss.conn.Kill()
}

func clientReply(c *command.Ctx) {
	ss := c.Client.(*Session)
	switch {
	case ss.replica: // what it gets is the stream and nothing else
	case command.Is(c.Args[2], "on"):
		ss.reply = replyOn
		c.W.OK()
	case command.Is(c.Args[2], "off"):
		ss.reply = replyOff
	case command.Is(c.Args[2], "skip"):
		if ss.reply == replyOn {
			ss.reply = replySkip // the next command's: this one writes none
		}
	default:
		c.W.Error(command.ErrSyntax)
	}
}

func clientNoEvict(c *command.Ctx) {
	ss := c.Client.(*Session)
	on := false
	if setOnOff(c, &on) {
		ss.noEvict.Store(on)
		ss.showFlags()
	}
}

func clientNoTouch(c *command.Ctx) {
	ss := c.Client.(*Session)
	if setOnOff(c, &ss.noTouch) {
		c.NoTouch = ss.noTouch
		ss.showFlags()
	}
}

func setOnOff(c *command.Ctx, v *bool) bool {
	switch {
	case command.Is(c.Args[2], "on"):
		*v = true
	case command.Is(c.Args[2], "off"):
		*v = false
	default:
		c.W.Error(command.ErrSyntax)
		return false
	}
	c.W.OK()
	return true
}

func (s *Server) clientPause(c *command.Ctx) {
	all := true
	switch {
	case len(c.Args) == 3:
	case len(c.Args) == 4 && command.Is(c.Args[3], "write"):
		all = false
	case len(c.Args) == 4 && command.Is(c.Args[3], "all"):
	case len(c.Args) == 4:
		c.W.Error("ERR CLIENT PAUSE mode must be WRITE or ALL")
		return
	default:
		c.W.Error(command.WrongArity(c.Cmd))
		return
	}
	ms, ok := c.Timeout(2)
	if !ok {
		return
	}
	now := time.Now().UnixMilli()
	if ms > math.MaxInt64-now {
		c.W.Error("ERR timeout is out of range")
		return
	}
	s.pause.start(now+ms, all)
	c.W.OK()
}

func (s *Server) clientUnblock(c *command.Ctx) {
	withError := false
	switch {
	case len(c.Args) == 3:
	case len(c.Args) == 4 && command.Is(c.Args[3], "timeout"):
	case len(c.Args) == 4 && command.Is(c.Args[3], "error"):
		withError = true
	default:
		c.W.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		return
	}
	id, ok := c.Int(2)
	if !ok {
		return
	}
	ss := s.clients.get(id)
	if ss == nil || !ss.isBlocked() {
		c.W.Int(0)
		return
	}
	ss.unblockRequest(withError)
	c.W.Int(1)
}

func (ss *Session) isBlocked() bool {
	ss.pub.mu.Lock()
	defer ss.pub.mu.Unlock()
	return ss.pub.blocked
}

func clientTrackingInfo(c *command.Ctx) {
	c.W.Map(3)
	c.W.BulkString("flags")
	c.W.Set(1)
	c.W.BulkString("off")
	c.W.BulkString("redirect")
	c.W.Int(-1)
	c.W.BulkString("prefixes")
	c.W.Array(0)
}

// help is the HELP of any container: what its descriptors say of its subcommands.
func (s *Server) help(c *command.Ctx) {
	d := s.table.Lookup(c.Args[0])
	name := string(bytes.ToUpper(c.Args[0]))
	lines := []string{name + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}
	for _, sub := range d.Sub {
		if sub.Name != "help" {
			lines = append(lines, usage(sub), "    "+sub.Summary)
		}
	}
	lines = append(lines, "HELP", "    Print this help.")
	writeHelp(c, lines)
}

func writeHelp(c *command.Ctx, lines []string) {
	c.W.Array(len(lines))
	for _, l := range lines {
		c.W.Simple(l)
	}
}
