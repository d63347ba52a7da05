package linear

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/anishathalye/porcupine"
)

// input is one command on a cell, which is a key (or, for the kinds that say
// so, a pair of keys that only ever change together or one at a time).
type input struct {
	cell string
	kind string // GET SET SETNX GETSET GETDEL DEL INCR APPEND; PAIRGET PAIRSET PAIRINCR LEFTSET
	arg  string
}

// output is the canonical reply; unknown when the server died first.
type output struct {
	reply   string
	unknown bool
}

// value is the state of one key.
type value struct {
	set bool
	s   string
}

func (v value) reply() string {
	if !v.set {
		return "(nil)"
	}
	return strconv.Quote(v.s)
}

// cellState is the state of a cell: two keys, of which single-key cells use the first.
type cellState [2]value

// step returns the reply and the new state when in executes in state s.
func step(s cellState, in input) (string, cellState) {
	old := s[0]
	put := func(v string) { s[0] = value{true, v} }
	switch in.kind {
	case "GET":
		return old.reply(), s
	case "SET":
		put(in.arg)
		return "+OK", s
	case "SETNX":
		if old.set {
			return "(nil)", s
		}
		put(in.arg)
		return "+OK", s
	case "GETSET":
		put(in.arg)
		return old.reply(), s
	case "GETDEL":
		s[0] = value{}
		return old.reply(), s
	case "DEL":
		s[0] = value{}
		if old.set {
			return ":1", s
		}
		return ":0", s
	case "APPEND":
		put(old.s + in.arg)
		return ":" + strconv.Itoa(len(s[0].s)), s
	case "INCR":
		return increment(&s[0]), s
	case "PAIRGET":
		return "[" + s[0].reply() + ", " + s[1].reply() + "]", s
	case "PAIRSET":
		s[0], s[1] = value{true, in.arg}, value{true, in.arg}
		return "+OK", s
	case "PAIRINCR": // MULTI, INCR both, EXEC
		a, b := increment(&s[0]), increment(&s[1])
		return "[" + a + ", " + b + "]", s
	case "LEFTSET":
		put(in.arg)
		return "+OK", s
	}
	panic("BUG: unknown kind " + in.kind)
}

func increment(v *value) string {
	n := 0
	if v.set {
		var err error
		if n, err = strconv.Atoi(v.s); err != nil {
			return "-ERR value is not an integer or out of range"
		}
	}
	*v = value{true, strconv.Itoa(n + 1)}
	return ":" + v.s
}

// commands returns what is sent for an input. A MULTI block answers with its EXEC.
func (in input) commands() [][]string {
	a, b := in.cell+":a", in.cell+":b"
	switch in.kind {
	case "SETNX":
		return [][]string{{"SET", a, in.arg, "NX"}}
	case "GET", "GETDEL", "DEL", "INCR":
		return [][]string{{in.kind, a}}
	case "SET", "GETSET", "APPEND":
		return [][]string{{in.kind, a, in.arg}}
	case "PAIRGET":
		return [][]string{{"MGET", a, b}}
	case "PAIRSET":
		return [][]string{{"MSET", a, in.arg, b, in.arg}}
	case "PAIRINCR":
		return [][]string{{"MULTI"}, {"INCR", a}, {"INCR", b}, {"EXEC"}}
	case "LEFTSET":
		return [][]string{{"SET", a, in.arg}}
	}
	panic("BUG: unknown kind " + in.kind)
}

// model tells porcupine how a cell behaves. Cells are independent of each other.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		cells := map[string][]porcupine.Operation{}
		for _, op := range history {
			c := op.Input.(input).cell
			cells[c] = append(cells[c], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range cells {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return cellState{} },
	Step: func(state, in, out any) (bool, any) {
		reply, next := step(state.(cellState), in.(input))
		o := out.(output)
		return o.unknown || o.reply == reply, next
	},
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		if o.unknown {
			o.reply = "?"
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s", i.kind, i.arg)) + " -> " + o.reply
	},
	DescribeState: func(state any) string {
		s := state.(cellState)
		return s[0].reply() + " " + s[1].reply()
	},
}
