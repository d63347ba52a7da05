package engine

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"tidemark/engine/command"
	"tidemark/engine/glob"
)

// commandCommands is COMMAND. All it replies comes from the descriptors.
// Formats: https://redis.io/docs/latest/commands/command/ and command-docs.
func (s *Server) commandCommands() []*command.Descriptor {
	const flags = command.Loading | command.Stale
	sub := func(name string, arity int, since, complexity, summary string, h func(*command.Ctx), args ...command.Arg) *command.Descriptor {
		return &command.Descriptor{Name: name, Arity: arity, Flags: flags, Categories: command.CatConnection, Handler: h,
			Group: "server", Since: since, Complexity: complexity, Summary: summary, Args: args}
	}
	names := command.Arg{Name: "command-name", Type: "string", Flags: command.Optional | command.Multiple}
	call := []command.Arg{{Name: "command", Type: "string"}, {Name: "arg", Type: "string", Flags: command.Optional | command.Multiple}}
	all := "O(N) where N is the total number of Redis commands"
	container := &command.Descriptor{
		Name: "command", Arity: -1, Flags: flags, Categories: command.CatConnection, Handler: s.commandAll,
		Group: "server", Since: "2.8.13", Complexity: all, Summary: "Describes all commands.",
		Tips: []string{"nondeterministic_output_order"},
		Sub: []*command.Descriptor{
			sub("count", 2, "2.8.13", "O(1)", "Counts the commands.", func(c *command.Ctx) { c.W.Int(int64(len(s.table.Names()))) }),
			sub("docs", -2, "7.0.0", "O(N) where N is the number of commands to look up", "Documents commands.", s.commandDocs, names),
			sub("getkeys", -3, "2.8.13", "O(N) where N is the number of arguments to the command",
				"Finds the keys in a request.", s.commandGetKeys, call...),
			sub("getkeysandflags", -3, "7.0.0", "O(N) where N is the number of arguments to the command",
				"Finds the keys in a request, and what is done with each.", s.commandGetKeysAndFlags, call...),
			sub("help", 2, "5.0.0", "O(1)", "Shows the subcommands.", s.help),
			sub("info", -2, "2.8.13", "O(N) where N is the number of commands to look up", "Describes commands.", s.commandInfo, names),
			sub("list", -2, "7.0.0", all, "Lists the names of commands.", s.commandList,
				command.Arg{Name: "filterby", Type: "oneof", Token: "FILTERBY", Flags: command.Optional, Args: []command.Arg{
					{Name: "module-name", Type: "string", Token: "MODULE"},
					{Name: "category", Type: "string", Token: "ACLCAT"},
					{Name: "pattern", Type: "pattern", Token: "PATTERN"}}}),
		},
	}
	for _, d := range container.Sub {
		switch d.Name {
		case "docs", "list":
			d.Tips = []string{"nondeterministic_output_order"}
		case "info":
			d.Tips = []string{"nondeterministic_output_order"}
			d.History = [][2]string{{"7.0.0", "Allowed to be called with no argument to get info on all commands."}}
		}
	}
	return []*command.Descriptor{container}
}

func (s *Server) commandAll(c *command.Ctx) {
	if len(c.Args) > 1 {
		c.W.Error(fmt.Sprintf("ERR unknown subcommand '%.128s'. Try COMMAND HELP.", c.Args[1]))
		return
	}
	s.writeInfos(c, s.table.Names())
}

func (s *Server) writeInfos(c *command.Ctx, names []string) {
	c.W.Array(len(names))
	for _, n := range names {
		writeInfo(c, s.table.Lookup([]byte(n)))
	}
}

func (s *Server) commandInfo(c *command.Ctx) {
	if len(c.Args) == 2 {
		s.writeInfos(c, s.table.Names())
		return
	}
	c.W.Array(len(c.Args) - 2)
	for _, name := range c.Args[2:] {
		if d := s.byFullName(name); d != nil {
			writeInfo(c, d)
		} else {
			c.W.Null()
		}
	}
}

// byFullName finds "get", and "config|get".
func (s *Server) byFullName(name []byte) *command.Descriptor {
	parent, sub, isSub := strings.Cut(strings.ToLower(string(name)), "|")
	d := s.table.Lookup([]byte(parent))
	if d == nil || !isSub {
		return d
	}
	return d.SubOf(sub)
}

// writeInfo writes what COMMAND INFO says of one command.
func writeInfo(c *command.Ctx, d *command.Descriptor) {
	w := c.W
	first, last, step, movable := keyRange(d)
	flags := d.Flags
	if movable {
		flags |= command.MovableKeys
	}
	w.Array(10)
	w.BulkString(d.FullName())
	w.Int(int64(d.Arity))
	writeWords(c, flags.Names(), "")
	w.Int(int64(first))
	w.Int(int64(last))
	w.Int(int64(step))
	writeWords(c, d.ACL().Names(), "@")
	w.Set(len(d.Tips))
	for _, t := range d.Tips {
		w.BulkString(t)
	}
	w.Set(len(d.Keys))
	for i := range d.Keys {
		writeKeySpec(c, &d.Keys[i])
	}
	w.Set(len(d.Sub))
	for _, sub := range d.Sub {
		writeInfo(c, sub)
	}
}

func writeWords(c *command.Ctx, words []string, prefix string) {
	c.W.Set(len(words))
	for _, x := range words {
		c.W.Simple(prefix + x)
	}
}

func writeKeySpec(c *command.Ctx, ks *command.KeySpec) {
	w := c.W
	n := 3
	if ks.Notes != "" {
		n++
	}
	w.Map(n)
	if ks.Notes != "" {
		w.BulkString("notes")
		w.BulkString(ks.Notes)
	}
	w.BulkString("flags")
	writeWords(c, ks.Flags.Names(), "")
	pair := func(name string, v int) {
		w.BulkString(name)
		w.Int(int64(v))
	}
	if ks.Unknown {
		for _, part := range [...]string{"begin_search", "find_keys"} {
			w.BulkString(part)
			w.Map(2)
			w.BulkString("type")
			w.BulkString("unknown")
			w.BulkString("spec")
			w.Map(0)
		}
		return
	}
	w.BulkString("begin_search")
	w.Map(2)
	w.BulkString("type")
	if ks.Keyword != "" {
		w.BulkString("keyword")
		w.BulkString("spec")
		w.Map(2)
		w.BulkString("keyword")
		w.BulkString(ks.Keyword)
		pair("startfrom", ks.From)
	} else {
		w.BulkString("index")
		w.BulkString("spec")
		w.Map(1)
		pair("index", ks.Begin)
	}
	w.BulkString("find_keys")
	w.Map(2)
	w.BulkString("type")
	if ks.KeyNum {
		w.BulkString("keynum")
		w.BulkString("spec")
		w.Map(3)
		pair("keynumidx", ks.NumIdx)
		pair("firstkey", ks.FirstKey)
		pair("keystep", max(ks.Step, 1))
		return
	}
	w.BulkString("range")
	w.BulkString("spec")
	w.Map(3)
	pair("lastkey", ks.Last)
	pair("keystep", max(ks.Step, 1))
	pair("limit", ks.Limit)
}

// keyRange gives the first, last and step that clients older than key specifications use; movable says that they do not tell
// of all keys.
func keyRange(d *command.Descriptor) (first, last, step int, movable bool) {
	plain := func(ks *command.KeySpec) bool { return ks.Keyword == "" && !ks.KeyNum && !ks.Unknown }
	if len(d.Keys) == 1 && plain(&d.Keys[0]) {
		ks := &d.Keys[0]
		if last = ks.Last; last >= 0 {
			last += ks.Begin
		}
		return ks.Begin, last, max(ks.Step, 1), ks.Flags&command.KeyIncomplete != 0
	}
	first = math.MaxInt
	prev := 0
	for i := range d.Keys {
		ks := &d.Keys[i]
		if ks.Flags&command.KeyIncomplete != 0 {
			movable = true
		}
		if !plain(ks) || max(ks.Step, 1) != 1 || prev != 0 && prev != ks.Begin-1 {
			movable = true
			continue
		}
		first = min(first, ks.Begin)
		end := ks.Last
		if end >= 0 {
			end += ks.Begin
		}
		// -1, the last argument, is later than any place counted from the front.
		if last >= 0 && (end < 0 || end > last) {
			last = end
		}
		prev = last
	}
	if first == math.MaxInt {
		return 0, 0, 0, movable
	}
	return first, last, 1, movable
}

func (s *Server) commandDocs(c *command.Ctx) {
	var list []*command.Descriptor
	if len(c.Args) == 2 {
		for _, n := range s.table.Names() {
			list = append(list, s.table.Lookup([]byte(n)))
		}
	}
	for _, name := range c.Args[2:] {
		if d := s.byFullName(name); d != nil {
			list = append(list, d)
		}
	}
	c.W.Map(len(list))
	for _, d := range list {
		c.W.BulkString(d.FullName())
		writeDocs(c, d)
	}
}

// writeDocs writes what COMMAND DOCS says of one command.
func writeDocs(c *command.Ctx, d *command.Descriptor) {
	w := c.W
	m := beginMap(c)
	m.text("summary", d.Summary)
	m.text("since", d.Since)
	m.text("group", d.Group)
	m.text("complexity", d.Complexity)
	if len(d.DocFlags) > 0 {
		m.name("doc_flags")
		writeWords(c, d.DocFlags, "")
	}
	m.text("deprecated_since", d.Deprecated)
	m.text("replaced_by", d.ReplacedBy)
	if len(d.History) > 0 {
		m.name("history")
		w.Set(len(d.History))
		for _, h := range d.History {
			w.Array(2)
			w.BulkString(h[0])
			w.BulkString(h[1])
		}
	}
	if len(d.Args) > 0 {
		m.name("arguments")
		writeArgs(c, d.Args)
	}
	if len(d.Sub) > 0 {
		m.name("subcommands")
		w.Map(len(d.Sub))
		for _, sub := range d.Sub {
			w.BulkString(sub.FullName())
			writeDocs(c, sub)
		}
	}
	m.end()
}

// openMap is a map reply whose size is known only at its end.
type openMap struct {
	c      *command.Ctx
	at     int // where it begins
	fields int
}

func beginMap(c *command.Ctx) *openMap { return &openMap{c: c, at: len(c.W.B)} }

// name begins a field; its value follows.
func (m *openMap) name(name string) {
	m.c.W.BulkString(name)
	m.fields++
}

// text writes a field, unless its value is empty.
func (m *openMap) text(name, value string) {
	if value != "" {
		m.name(name)
		m.c.W.BulkString(value)
	}
}

// end puts the header before the fields.
func (m *openMap) end() {
	w := m.c.W
	body := append([]byte(nil), w.B[m.at:]...)
	w.B = w.B[:m.at]
	w.Map(m.fields)
	w.B = append(w.B, body...)
}

func writeArgs(c *command.Ctx, args []command.Arg) {
	c.W.Array(len(args))
	for i := range args {
		writeArg(c, &args[i])
	}
}

func writeArg(c *command.Ctx, a *command.Arg) {
	w := c.W
	m := beginMap(c)
	m.name("name")
	w.BulkString(a.Name)
	m.name("type")
	w.BulkString(a.Type)
	if a.Type != "oneof" && a.Type != "block" {
		display := a.Display
		if display == "" {
			display = a.Name
		}
		m.text("display_text", display)
	}
	if a.Type == "key" || a.KeySpec != 0 {
		m.name("key_spec_index")
		w.Int(int64(a.KeySpec))
	}
	m.text("token", a.Token)
	m.text("since", a.Since)
	m.text("deprecated_since", a.Deprecated)
	if names := a.Flags.Names(); len(names) > 0 {
		m.name("flags")
		writeWords(c, names, "")
	}
	if a.Type == "oneof" || a.Type == "block" {
		m.name("arguments")
		writeArgs(c, a.Args)
	}
	m.end()
}

func (s *Server) commandList(c *command.Ctx) {
	keep := func(*command.Descriptor) bool { return true }
	switch {
	case len(c.Args) == 2:
	case len(c.Args) == 5 && command.Is(c.Args[2], "filterby"):
		arg := string(c.Args[4])
		switch {
		case command.Is(c.Args[3], "module"):
			keep = func(*command.Descriptor) bool { return false } // there are no modules
		case command.Is(c.Args[3], "aclcat"):
			keep = func(d *command.Descriptor) bool {
				for _, n := range d.ACL().Names() {
					if strings.EqualFold(n, arg) {
						return true
					}
				}
				return false
			}
		case command.Is(c.Args[3], "pattern"):
			keep = func(d *command.Descriptor) bool { return glob.MatchFoldString(arg, d.FullName()) }
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	default:
		c.W.Error(command.ErrSyntax)
		return
	}
	var out []string
	for _, n := range s.table.Names() {
		d := s.table.Lookup([]byte(n))
		if keep(d) {
			out = append(out, n)
		}
		for _, sub := range d.Sub {
			if keep(sub) {
				out = append(out, sub.FullName())
			}
		}
	}
	sort.Strings(out)
	if len(c.Args) == 2 {
		c.W.Set(len(out))
	} else {
		c.W.Array(len(out))
	}
	for _, n := range out {
		c.W.BulkString(n)
	}
}

// keysOf finds the keys of the request within a request; when it has none, or is wrong, the error is replied and ok is false.
func (s *Server) keysOf(c *command.Ctx) (d *command.Descriptor, args [][]byte, pos []command.KeyPos, ok bool) {
	args = c.Args[2:]
	d, unknownSub := s.table.Resolve(args)
	switch {
	case d == nil || unknownSub:
		c.W.Error("ERR Invalid command specified")
		return nil, nil, nil, false
	case len(d.Keys) == 0:
		c.W.Error("ERR The command has no key arguments")
		return nil, nil, nil, false
	case d.Arity > 0 && d.Arity != len(args) || len(args) < -d.Arity:
		c.W.Error("ERR Invalid number of arguments specified for command")
		return nil, nil, nil, false
	}
	pos, ok = d.KeyPositions(args, nil)
	if !ok {
		c.W.Error("ERR Invalid arguments specified for command")
		return nil, nil, nil, false
	}
	return d, args, pos, true
}

func (s *Server) commandGetKeys(c *command.Ctx) {
	_, args, pos, ok := s.keysOf(c)
	if !ok {
		return
	}
	c.W.Array(len(pos))
	for _, p := range pos {
		c.W.Bulk(args[p.Arg])
	}
}

func (s *Server) commandGetKeysAndFlags(c *command.Ctx) {
	d, args, pos, ok := s.keysOf(c)
	if !ok {
		return
	}
	c.W.Array(len(pos))
	for _, p := range pos {
		c.W.Array(2)
		c.W.Bulk(args[p.Arg])
		writeWords(c, d.KeyFlagsOf(args, p).Names(), "")
	}
}

// usage is a command's syntax as people write it: "KILL ip:port | [ID client-id] ...".
func usage(d *command.Descriptor) string {
	var b strings.Builder
	b.WriteString(strings.ToUpper(d.Name))
	for i := range d.Args {
		b.WriteByte(' ')
		b.WriteString(usageOf(&d.Args[i]))
	}
	return b.String()
}

func usageOf(a *command.Arg) string {
	var b strings.Builder
	b.WriteString(a.Token)
	if a.Type != "pure-token" {
		if a.Token != "" {
			b.WriteByte(' ')
		}
		sep := " "
		switch a.Type {
		case "oneof":
			sep = "|"
			fallthrough
		case "block":
			parts := make([]string, len(a.Args))
			for i := range a.Args {
				parts[i] = usageOf(&a.Args[i])
			}
			text := strings.Join(parts, sep)
			if a.Type == "oneof" && a.Flags&command.Optional == 0 {
				text = "<" + text + ">"
			}
			b.WriteString(text)
		default:
			name := a.Display
			if name == "" {
				name = a.Name
			}
			b.WriteString("<" + name + ">")
		}
	}
	text := b.String()
	if a.Flags&command.Multiple != 0 {
		if a.Type == "oneof" || a.Type == "block" {
			text += " ..."
		} else {
			text += " [" + text + " ...]"
		}
	}
	if a.Flags&command.Optional != 0 {
		text = "[" + text + "]"
	}
	return text
}
