package cluster

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrDiverged is what Converged returns, wrapped, when nodes hold different data at equal offsets.
var ErrDiverged = errors.New("DIVERGED")

// Converged waits until every living node stands at the offset of the primary at the
// top of its chain and holds the same data. Nobody may write meanwhile, so that offsets move by the primary's PINGs only. It
// fails when that has not come about within limit, or when the data differ though the offsets were equal, and go on differing.
func (c *Cluster) Converged(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	different := 0
	var last error
	for first := true; first || time.Now().Before(deadline); first = false {
		if !first {
			time.Sleep(50 * time.Millisecond)
		}
		last = c.compare()
		if last == nil {
			return nil
		}
		// A key that expires between two readings differs for a moment. What stays different does not heal.
		if !errors.Is(last, ErrDiverged) {
			different = 0
			continue
		}
		if different++; different == 5 {
			return last
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("not converged within %v: %w", limit, last)
}

// compare takes one look.
func (c *Cluster) compare() error {
	before, err := c.positions()
	if err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if top := n.top(); n.Alive() && (before[n].Offset != before[top].Offset || !before[n].Online) {
			return fmt.Errorf("%s is at %+v and %s at %+v", n, before[n], top, before[top])
		}
	}
	states := map[*Node]State{}
	for _, n := range c.Nodes {
		if !n.Alive() {
			continue
		}
		if states[n], err = n.Dump(); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	for n, s := range states {
		if d := Differences(states[n.top()], s); d != nil {
			return fmt.Errorf("%w at offset %d: %s, compared with %s:\n  %s", ErrDiverged, before[n].Offset, n, n.top(), strings.Join(d, "\n  "))
		}
	}
	return nil
}

func (c *Cluster) positions() (map[*Node]Position, error) {
	out := map[*Node]Position{}
	for _, n := range c.Nodes {
		if !n.Alive() {
			continue
		}
		var err error
		if out[n], err = n.Position(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Dump reads the node's data.
func (n *Node) Dump() (State, error) {
	c, err := n.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return Dump(c)
}

// top is the primary at the end of the node's chain.
func (n *Node) top() *Node {
	for n.Upstream != nil {
		n = n.Upstream
	}
	return n
}
