// Package history models what one writer has sent to a server, in order, and finds
// out which prefix of it a server still holds after a crash or a failover.
//
// Each writer owns its keys. Because the log is ordered, what a server holds of them must be the state
// after some prefix of the writer's operations, for all its keys the same one, and a long
// enough one: everything that was acknowledged (in whatever sense the test means) must be in it. A
// MULTI/EXEC block is one operation and survives whole or not at all.
package history

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// Operation is one thing a writer did, atomic to every observer. A block of
// several commands went through MULTI/EXEC.
type Operation struct {
	Commands [][]string
	// apply changes the model as the commands change the server.
	apply func(state map[string]string)
}

// History is what one writer has sent, and how much of it was acknowledged. Its methods
// are safe for concurrent use.
type History struct {
	ID int

	mu    sync.Mutex
	ops   []Operation       // since base
	acked int               // the first so many have their replies
	seen  int               // some reader saw the effect of ops[seen-1]
	base  map[string]string // the state before ops[0]
	// where finds the operation (as a count of operations) that a value read from a key proves.
	where     map[string]map[string]int
	total     int // operations before ops[0], and
	forgotten int // those that did not happen: together they make values unique for ever
}

// New makes the history of a writer that has sent nothing yet, to a server without its keys.
func New(id int) *History {
	return &History{ID: id, base: map[string]string{}, where: map[string]map[string]int{}}
}

// Keys is how many keys a writer has besides its counter.
const Keys = 8

// Key is the name of one of the writer's keys, 0 <= i < Keys.
func (h *History) Key(i int) string { return fmt.Sprintf("w%d:%d", h.ID, i) }

// Counter is a key that only ever counts up, by INCR.
func (h *History) Counter() string { return fmt.Sprintf("w%d:n", h.ID) }

// Next adds a random operation and returns it. state is the writer's own copy of its
// keys, begun from State, which Next brings up to date.
func (h *History) Next(rnd *rand.Rand, state map[string]string) Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.total + h.forgotten + len(h.ops)
	// Values begin with a letter (APPEND would make numbers collide) and tell their operation.
	value := fmt.Sprintf("v%d.%d.%s", h.ID, n, strings.Repeat("x", sizes[rnd.IntN(len(sizes))]))
	set := func(key, value string) Operation {
		return Operation{[][]string{{"SET", key, value}}, func(s map[string]string) { s[key] = value }}
	}
	var op Operation
	switch k := h.Key(rnd.IntN(Keys)); rnd.IntN(10) {
	case 0, 1, 2, 3:
		op = set(k, value)
	case 4:
		op = Operation{[][]string{{"DEL", k}}, func(s map[string]string) { delete(s, k) }}
	case 5, 6:
		c := h.Counter()
		op = Operation{[][]string{{"INCR", c}}, func(s map[string]string) {
			i, _ := strconv.Atoi(s[c])
			s[c] = strconv.Itoa(i + 1)
		}}
	case 7:
		k2 := h.Key(rnd.IntN(Keys))
		op = Operation{[][]string{{"MSET", k, value, k2, value}}, func(s map[string]string) { s[k], s[k2] = value, value }}
	case 8:
		k2 := h.Key(rnd.IntN(Keys))
		op = Operation{
			[][]string{{"MULTI"}, {"SET", k, value}, {"DEL", k2}, {"APPEND", k2, value}, {"EXEC"}},
			func(s map[string]string) {
				s[k] = value
				delete(s, k2)
				s[k2] = value
			}}
	case 9:
		op = Operation{[][]string{{"APPEND", k, value}}, func(s map[string]string) { s[k] += value }}
	}
	before := maps.Clone(state)
	op.apply(state)
	h.ops = append(h.ops, op)
	for key, v := range state {
		if before[key] != v {
			if h.where[key] == nil {
				h.where[key] = map[string]int{}
			}
			h.where[key][v] = len(h.ops)
		}
	}
	return op
}

// sizes of values: small ones that share a batch, and some beyond the size at which a store takes another path.
var sizes = []int{0, 8, 64, 64, 200, 1000, 5000, 40000}

// Acknowledge counts one more operation as acknowledged.
func (h *History) Acknowledge() {
	h.mu.Lock()
	h.acked++
	h.mu.Unlock()
}

// Observe notes that a reader got this value for a key. It returns an error for
// a value that no operation gives the key.
func (h *History) Observe(key, value string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.base[key] == value {
		return nil
	}
	n, ok := h.where[key][value]
	if !ok {
		return fmt.Errorf("a reader saw %s = %.60q, which nobody wrote", key, value)
	}
	h.seen = max(h.seen, n)
	return nil
}

// State returns a copy of what the server holds if it has everything so far.
func (h *History) State() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stateLocked(len(h.ops))
}

// stateLocked is the state after n operations.
func (h *History) stateLocked(n int) map[string]string {
	state := maps.Clone(h.base)
	for _, op := range h.ops[:n] {
		op.apply(state)
	}
	return state
}

// Acknowledged returns how many operations since the base were acknowledged.
func (h *History) Acknowledged() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acked
}

// AllKeys returns the names of all keys of the writer.
func (h *History) AllKeys() []string {
	keys := []string{h.Counter()}
	for i := range Keys {
		keys = append(keys, h.Key(i))
	}
	return keys
}

// Settle finds the prefix that the server kept, and makes its state the new base. got holds
// the writer's keys. It must reach at least to what was acknowledged and what was observed.
func (h *History) Settle(got map[string]string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.keepLocked(got, max(h.acked, h.seen)); err != nil {
		return err
	}
	h.rebaseLocked()
	return nil
}

// Keep finds the prefix that the server kept, of at least floor operations since the base, and forgets the
// operations behind it: they have not happened. All that are left count as acknowledged. The
// base stays, because other servers may hold an older prefix and take over.
func (h *History) Keep(got map[string]string, floor int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keepLocked(got, floor)
}

// Rebase makes the state after all operations the base: no server holds an older one.
func (h *History) Rebase() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rebaseLocked()
}

func (h *History) rebaseLocked() {
	h.base = h.stateLocked(len(h.ops))
	h.total += len(h.ops)
	h.ops, h.acked, h.seen, h.where = nil, 0, 0, map[string]map[string]int{}
}

func (h *History) keepLocked(got map[string]string, floor int) error {
	state := maps.Clone(h.base)
	for i := 0; ; i++ {
		if i >= floor && maps.Equal(state, got) {
			h.forgotten += len(h.ops) - i
			h.ops, h.acked, h.seen = h.ops[:i], i, min(h.seen, i)
			for _, values := range h.where {
				maps.DeleteFunc(values, func(_ string, n int) bool { return n > i })
			}
			return nil
		}
		if i == len(h.ops) {
			break
		}
		h.ops[i].apply(state)
	}
	// Say whether it is an older prefix (acknowledged writes lost) or none at all.
	state = maps.Clone(h.base)
	for i := 0; i < floor; i++ {
		if maps.Equal(state, got) {
			return fmt.Errorf("writer %d: the server kept %d operations of the %d it had to (%d were acknowledged, a reader saw number %d): LOST WRITES",
				h.ID, i, floor, h.acked, h.seen)
		}
		h.ops[i].apply(state)
	}
	var wrong []string
	for k := range state {
		if state[k] != got[k] {
			wrong = append(wrong, fmt.Sprintf("%s: acknowledged %.40q, kept %.40q", k, state[k], got[k]))
		}
	}
	sort.Strings(wrong)
	return fmt.Errorf("writer %d: what the server kept is no prefix of what was sent (%d acknowledged, %d sent):\n  %s", h.ID, h.acked, len(h.ops), strings.Join(wrong, "\n  "))
}
