package engine

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// ahead gathers the elements of one collection that requests name one after the other, and then has the processor fetch what looking them up
// will touch: their cache misses overlap. It is what keyspace.Ahead is for keys; a large collection's key is at hand already, its elements are not.
type ahead struct {
	key   command.Key
	db    int
	lock  bool // the shard is to be locked for it
	elems [keyspace.MostAhead][]byte
	n     int
}

// fewestAhead is for how many elements it pays to look the key up once more.
const fewestAhead = 4

// add takes the elements of one more request, whose only key is k.
func (a *ahead) add(db int, d *command.Descriptor, args [][]byte, k *command.Key) {
	if a.n > 0 && (a.key.Hash != k.Hash || a.db != db || a.n == len(a.elems)) {
		a.fetch()
	}
	if n := len(d.Elements(args, a.elems[a.n:a.n])); n > 0 {
		a.key, a.db = *k, db
		a.n += n
	}
}

// fetch ends what add began.
func (a *ahead) fetch() {
	if s := a.key.Shard; a.n >= fewestAhead && (!a.lock || s.TryLock()) {
		s.AheadIn(a.db, a.key.Hash, a.key.Name, a.elems[:a.n])
		if a.lock {
			s.Unlock()
		}
	}
	a.n = 0
}
