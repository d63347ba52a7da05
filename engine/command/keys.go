package command

import "tidemark/engine/keyspace"

// Key is one key of a request, with its place. Name is borrowed from the request.
type Key struct {
	Name  []byte
	Hash  uint64
	Shard *keyspace.Shard
	Arg   int // index in Args
}

// KeyPos is where a key stands among the arguments, and what is done with it.
type KeyPos struct {
	Arg   int
	Flags KeyFlags
}

// KeyPositions appends the places of the keys in args to out. ok is false when the arguments do not fit the
// specification (a count that is no number or too large): the handler's own check gives the error then.
func (d *Descriptor) KeyPositions(args [][]byte, out []KeyPos) (pos []KeyPos, ok bool) {
	for i := range d.Keys {
		ks := &d.Keys[i]
		flags := ks.Flags
		if ks.Refine != nil {
			flags = ks.Refine(args)
		}
		if ks.Unknown {
			if ks.Find != nil {
				if at := ks.Find(args); at != 0 {
					out = append(out, KeyPos{at, flags})
				}
			}
			continue
		}
		first := ks.Begin
		if ks.Keyword != "" {
			if first = ks.search(args); first == 0 {
				continue
			}
		}
		if first >= len(args) {
			continue
		}
		if ks.KeyNum {
			at := first + ks.NumIdx
			if at >= len(args) {
				return out, false
			}
			n, good := ParseInt(args[at])
			if !good || n < 0 || n > int64(len(args)) || first+ks.FirstKey+int(n) > len(args) {
				return out, false
			}
			for j := 0; j < int(n); j++ {
				out = append(out, KeyPos{first + ks.FirstKey + j, flags})
			}
			continue
		}
		last := first + ks.Last
		if ks.Last < 0 {
			last = len(args) + ks.Last
			if ks.Limit > 1 {
				last = first + (len(args)-first)/ks.Limit + ks.Last
			}
		}
		step := max(ks.Step, 1)
		for j := first; j <= last && j < len(args); j += step {
			out = append(out, KeyPos{j, flags})
		}
	}
	return out, true
}

// KeyFlagsOf is what the request args does with the key at p, one of those that KeyPositions found.
func (d *Descriptor) KeyFlagsOf(args [][]byte, p KeyPos) KeyFlags {
	if d.KeyUse != nil && p.Flags&KeyVariable != 0 {
		return d.KeyUse(args)
	}
	return p.Flags
}

func (ks *KeySpec) search(args [][]byte) int {
	if ks.First != nil {
		return ks.First(args)
	}
	if ks.From >= 0 {
		for i := max(ks.From, 1); i < len(args)-1; i++ {
			if sameWord(args[i], ks.Keyword) {
				return i + 1
			}
		}
		return 0
	}
	for i := len(args) + ks.From; i > 0; i-- {
		if i < len(args)-1 && sameWord(args[i], ks.Keyword) {
			return i + 1
		}
	}
	return 0
}

// sameWord compares without regard to case. word has letters only.
func sameWord(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != word[i]|0x20 {
			return false
		}
	}
	return true
}

// SoleKey is the index of the argument that is the request's only key, or 0 when it has none, several, or one whose place
// depends on the arguments. DEL of one key has one. It is for looking ahead (Ctx.RunOn); KeyPositions tells the rest.
func (d *Descriptor) SoleKey(args [][]byte) int {
	if len(d.Keys) != 1 {
		return 0
	}
	ks := &d.Keys[0]
	if ks.Begin >= len(args) || ks.Unknown || ks.Keyword != "" || ks.KeyNum {
		return 0
	}
	if ks.Last == 0 || ks.Last == -1 && ks.Step <= 1 && ks.Limit <= 1 && ks.Begin == len(args)-1 {
		return ks.Begin
	}
	return 0
}
