package aof

import "fmt"

// A replication id names a history: two servers whose logs have the same id have the same bytes at the same offsets. A server
// that begins a history of its own, by promotion or by a new start, takes a new id and remembers the old one with the offset
// up to which it shares that history.

// Ancestor is an earlier replication id: it names the log's bytes at offsets below End.
type Ancestor struct {
	ID  string
	End int64
}

// maxAncestors is how many of them a log remembers.
const maxAncestors = 8

func checkID(id string) error {
	ok := len(id) == 40
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	if !ok {
		return fmt.Errorf("aof: replication id %q does not consist of 40 letters and digits", id)
	}
	return nil
}

// clampAncestors gives those that hold for a log that ends at off, the newest of them.
func clampAncestors(as []Ancestor, off int64) []Ancestor {
	out := make([]Ancestor, 0, min(len(as), maxAncestors))
	for _, a := range as {
		if len(out) == maxAncestors {
			break
		}
		out = append(out, Ancestor{a.ID, min(a.End, off)})
	}
	return out
}

// identity is what ID and Ancestors give. Whoever has one may keep it: it does not change.
type identity struct {
	id        string
	ancestors []Ancestor
}

// showIdentity makes what meta says of the identity visible. metaMu must be held, or nobody else be there yet.
func (l *Log) showIdentity() { l.ident.Store(&identity{l.meta.id, l.meta.ancestors}) }

// ID is the replication id kept beside the manifest, 40 hexadecimal digits. It does not wait for the disk.
func (l *Log) ID() string { return l.ident.Load().id }

// Ancestors are the earlier ids, newest first. The slice is the caller's. It does not wait for the disk.
func (l *Log) Ancestors() []Ancestor { return append([]Ancestor(nil), l.ident.Load().ancestors...) }

// SetIdentity replaces the replication id and its ancestors, newest first, of which the first eight are kept. It returns when
// they are durable; on an error the old identity stays. Of a log opened Fresh without a base the identity becomes durable with its first
// base, as everything else does.
func (l *Log) SetIdentity(id string, ancestors []Ancestor) error {
	if err := checkID(id); err != nil {
		return err
	}
	for _, a := range ancestors {
		if err := checkID(a.ID); err != nil {
			return err
		}
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	m := &l.meta
	oldID, old := m.id, m.ancestors
	m.id, m.ancestors = id, clampAncestors(ancestors, maxOffset)
	if !l.o.Memory {
		if err := l.saveSidecarLocked(); err != nil {
			m.id, m.ancestors = oldID, old
			return err
		}
	}
	l.showIdentity()
	return nil
}
