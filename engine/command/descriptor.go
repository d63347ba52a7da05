// Package command is what one command is (Descriptor), the table of all of
// them, and the rules under which any of them runs (Ctx): key locks, expiry,
// logging, gates, watches. The data commands live in packages beside it and
// see only Ctx; sessions and sockets are the engine's.
//
// Lock order: shard locks in ascending index; nothing else is taken below
// them but the log's atomics.
package command

// Flags are the command flags COMMAND INFO shows.
// https://redis.io/docs/latest/commands/command/
type Flags uint32

const (
	Write Flags = 1 << iota
	ReadOnly
	DenyOOM // refused when maxmemory is reached
	Admin
	PubSub
	NoScript
	Blocking
	Loading // allowed while loading
	Stale   // allowed on a stale replica
	SkipMonitor
	SkipSlowlog
	Fast
	NoAuth       // allowed before AUTH
	MayReplicate // no write, but may change something all the same (Ctx.MayChange); not shown
	NoAsyncLoading
	NoMulti
	MovableKeys
	AllowBusy
)

var flagNames = []string{"write", "readonly", "denyoom", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
	"skip_monitor", "skip_slowlog", "fast", "no_auth", "", "no_async_loading", "no_multi", "movablekeys", "allow_busy"}

// Names lists the flags as COMMAND INFO spells them.
func (f Flags) Names() []string { return bitNames(uint32(f), flagNames) }

func bitNames(bits uint32, names []string) []string {
	var out []string
	for i, n := range names {
		if bits&(1<<i) != 0 && n != "" {
			out = append(out, n)
		}
	}
	return out
}

// Category is a set of ACL categories.
type Category uint32

const (
	CatKeyspace Category = 1 << iota
	CatRead
	CatWrite
	CatSet
	CatSortedSet
	CatList
	CatHash
	CatString
	CatBitmap
	CatHyperLogLog
	CatGeo
	CatStream
	CatPubSub
	CatAdmin
	CatFast
	CatSlow
	CatBlocking
	CatDangerous
	CatConnection
	CatTransaction
	CatScripting
)

var categoryNames = []string{"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog",
	"geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting"}

// Names lists the categories without the @.
func (c Category) Names() []string { return bitNames(uint32(c), categoryNames) }

// KeyFlags say what a command does with the keys of one KeySpec.
type KeyFlags uint16

const (
	KeyRO KeyFlags = 1 << iota
	KeyRW
	KeyOW
	KeyRM
	KeyAccess
	KeyUpdate
	KeyInsert
	KeyDelete
	KeyNotKey
	KeyIncomplete
	KeyVariable
)

var keyFlagNames = []string{"RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags"}

// Names lists the flags as COMMAND INFO spells them.
func (f KeyFlags) Names() []string { return bitNames(uint32(f), keyFlagNames) }

// KeySpec tells where keys stand among the arguments.
// https://redis.io/docs/latest/develop/reference/key-specs/
type KeySpec struct {
	Flags KeyFlags
	Notes string
	// Refine, with KeyVariable in Flags, says what one request with these arguments does with its keys.
	Refine func(args [][]byte) KeyFlags

	// Begin is the index of the first key (the command's name is 0). With Keyword set, the first key follows that
	// word, searched from index From on (negative: from that place before the end, backwards).
	Begin   int
	Keyword string
	From    int
	// First, if set, finds the first key in place of the search for Keyword, which is only what clients are told. 0: there is none.
	First func(args [][]byte) int

	// Unknown: no such rule tells where keys stand. Find gives the only one of a request (0: there is none); without Find they cannot be told
	// from the arguments at all, and Descriptor.Everywhere is set.
	Unknown bool
	Find    func(args [][]byte) int

	// A range: Last is relative to the first key (negative: counted from the end of the arguments, -1 the last one),
	// Step lies between keys (0 means 1), Limit 2 uses only the first half of the rest, and so on (0: all).
	Last, Step, Limit int

	// With KeyNum set, the argument at first+NumIdx says how many keys follow, the first of them at first+FirstKey.
	KeyNum           bool
	NumIdx, FirstKey int
}

// One is the KeySpec of commands whose only key is argument 1.
func One(f KeyFlags) []KeySpec { return []KeySpec{{Flags: f, Begin: 1, Step: 1}} }

// ArgFlags qualify an Arg.
type ArgFlags uint8

const (
	Optional ArgFlags = 1 << iota
	Multiple
	MultipleToken
)

var argFlagNames = []string{"optional", "multiple", "multiple_token"}

// Names lists the flags as COMMAND DOCS spells them.
func (f ArgFlags) Names() []string { return bitNames(uint32(f), argFlagNames) }

// Arg is one argument of the syntax, as COMMAND DOCS gives it.
type Arg struct {
	Name    string
	Type    string // string integer double key pattern unix-time pure-token oneof block
	Token   string
	Display string // display_text, when it is not Name
	KeySpec int    // of a key: index into Descriptor.Keys
	Flags   ArgFlags
	Since   string
	// Deprecated is the version since which it is.
	Deprecated string
	Args       []Arg // of oneof and block
}

// LogRule says how a write stands in the log.
type LogRule uint8

const (
	LogNone    LogRule = iota // changes nothing
	LogRequest                // the request as received, when the handler reported a change: it is deterministic
	LogEffect                 // whatever the handler hands to Ctx.Effect
)

// Scope says which shards a command locks.
type Scope uint8

const (
	ScopeKeys Scope = iota // those of its keys
	ScopeAll               // every shard
	ScopeOwn               // none: the handler takes its locks itself, by Ctx.Atomically
	ScopeEach              // one after the other, by Ctx.EnterShard; every shard at once within a block
)

// Descriptor is all there is to know about one command; nothing about it is said elsewhere.
type Descriptor struct {
	Name       string // lower case; a subcommand's own word
	Arity      int    // as in COMMAND: exact, or -minimum; the name counts, a container's name too
	Flags      Flags
	Categories Category // explicit ones; those that follow from Flags are added by ACL
	Keys       []KeySpec
	// KeyUse tells, for a command with KeyVariable, what this request does with its key.
	KeyUse func(args [][]byte) KeyFlags
	Log    LogRule
	Scope  Scope
	// Everywhere tells, with ScopeKeys, that this request needs all shards all the same: it reads keys that its arguments do not name. Nil: none does.
	Everywhere func(args [][]byte) bool
	Handler    func(*Ctx)
	Immediate  bool          // runs at once, also between MULTI and EXEC
	Sub        []*Descriptor // of a container; Handler is then nil unless the bare word is a command, too

	Group      string // of COMMAND DOCS: generic string bitmap connection server transactions ...
	Since      string
	Summary    string
	Complexity string
	Args       []Arg
	Tips       []string
	History    [][2]string // version, what changed
	DocFlags   []string    // deprecated, syscmd
	Deprecated string      // since which version
	ReplacedBy string

	ID     int    // index in Table.All; set by NewTable
	Parent string // of a subcommand; set by NewTable
	stats  *cmdStats
	sub    map[string]*Descriptor
	// The first argument that names an element, 0: none does, and how many further on the next is, 0: there is but one. See Elements.
	elemAt, elemStep int
}

// needsAll reports whether a request with these arguments runs under the locks of every shard at once.
func (d *Descriptor) needsAll(args [][]byte) bool {
	return d.Scope == ScopeAll || d.Everywhere != nil && d.Everywhere(args)
}

// Replayed reports whether the command does anything when it stands in a log: PING and MULTI do not.
func (d *Descriptor) Replayed() bool { return d.Flags&(Write|MayReplicate) != 0 }

// FullName is "config|get" for a subcommand.
func (d *Descriptor) FullName() string {
	if d.Parent != "" {
		return d.Parent + "|" + d.Name
	}
	return d.Name
}

// ACL returns the categories, those implied by the flags included.
func (d *Descriptor) ACL() Category {
	c := d.Categories
	if d.Flags&Write != 0 {
		c |= CatWrite
	}
	if d.Flags&ReadOnly != 0 && c&CatScripting == 0 {
		c |= CatRead
	}
	if d.Flags&Admin != 0 {
		c |= CatAdmin | CatDangerous
	}
	if d.Flags&PubSub != 0 {
		c |= CatPubSub
	}
	if d.Flags&Blocking != 0 {
		c |= CatBlocking
	}
	if d.Flags&Fast != 0 {
		c |= CatFast
	} else {
		c |= CatSlow
	}
	return c
}
