package crash

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// operation is one thing a writer did, atomic to every observer. A block of
// several commands went through MULTI/EXEC.
type operation struct {
	commands [][]string
	// apply changes the model as the commands change the server.
	apply func(state map[string]string)
}

// history is what one writer has sent, and how much of it was acknowledged.
type history struct {
	id int

	mu    sync.Mutex
	ops   []operation       // since base
	acked int               // the first so many have their replies
	seen  int               // some reader saw the effect of ops[seen-1]
	base  map[string]string // the state before ops[0]
	// where finds the operation (as a count of operations) that a value read from a key proves.
	where map[string]map[string]int
	total int // operations before ops[0], makes values unique for ever
}

func newHistory(id int) *history {
	return &history{id: id, base: map[string]string{}, where: map[string]map[string]int{}}
}

const keysPerWriter = 8

func (h *history) key(i int) string { return fmt.Sprintf("w%d:%d", h.id, i) }

// counter is a key that only ever counts up, by INCR.
func (h *history) counter() string { return fmt.Sprintf("w%d:n", h.id) }

// next adds a random operation and returns it.
func (h *history) next(rnd *rand.Rand, state map[string]string) operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.total + len(h.ops)
	// Values begin with a letter (APPEND would make numbers collide) and tell their operation.
	value := fmt.Sprintf("v%d.%d.%s", h.id, n, strings.Repeat("x", sizes[rnd.IntN(len(sizes))]))
	set := func(key, value string) operation {
		return operation{[][]string{{"SET", key, value}}, func(s map[string]string) { s[key] = value }}
	}
	var op operation
	switch k := h.key(rnd.IntN(keysPerWriter)); rnd.IntN(10) {
	case 0, 1, 2, 3:
		op = set(k, value)
	case 4:
		op = operation{[][]string{{"DEL", k}}, func(s map[string]string) { delete(s, k) }}
	case 5, 6:
		c := h.counter()
		op = operation{[][]string{{"INCR", c}}, func(s map[string]string) {
			i, _ := strconv.Atoi(s[c])
			s[c] = strconv.Itoa(i + 1)
		}}
	case 7:
		k2 := h.key(rnd.IntN(keysPerWriter))
		op = operation{[][]string{{"MSET", k, value, k2, value}}, func(s map[string]string) { s[k], s[k2] = value, value }}
	case 8:
		k2 := h.key(rnd.IntN(keysPerWriter))
		op = operation{
			[][]string{{"MULTI"}, {"SET", k, value}, {"DEL", k2}, {"APPEND", k2, value}, {"EXEC"}},
			func(s map[string]string) {
				s[k] = value
				delete(s, k2)
				s[k2] = value
			}}
	case 9:
		op = operation{[][]string{{"APPEND", k, value}}, func(s map[string]string) { s[k] += value }}
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

// acknowledge counts one more operation as acknowledged.
func (h *history) acknowledge() {
	h.mu.Lock()
	h.acked++
	h.mu.Unlock()
}

// observe notes that a reader got this value for a key. It returns an error for
// a value that no operation gives the key.
func (h *history) observe(key, value string) error {
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

// settle finds the prefix that the server kept, and makes its state the new base.
func (h *history) settle(got map[string]string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	floor := max(h.acked, h.seen)
	state := maps.Clone(h.base)
	for i := 0; ; i++ {
		if i >= floor && maps.Equal(state, got) {
			h.total += len(h.ops)
			h.base, h.ops, h.acked, h.seen, h.where = got, nil, 0, 0, map[string]map[string]int{}
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
			return fmt.Errorf("writer %d: the server kept %d operations, but %d were acknowledged and a reader saw number %d: LOST WRITES", h.id, i, h.acked, h.seen)
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
	return fmt.Errorf("writer %d: what the server kept is no prefix of what was sent (%d acknowledged, %d sent):\n  %s", h.id, h.acked, len(h.ops), strings.Join(wrong, "\n  "))
}
