package evict

import "fmt"

// Policy is maxmemory-policy: which keys may be removed to make room, and which of them first.
// https://redis.io/docs/latest/develop/reference/eviction/
type Policy uint32

// The policies.
const (
	NoEviction     Policy = iota // none: commands that need memory are refused
	AllKeysLRU                   // the key not accessed for longest
	AllKeysLFU                   // the key accessed least often
	AllKeysRandom                // any key
	VolatileLRU                  // as above, among keys with an expiry
	VolatileLFU                  //
	VolatileRandom               //
	VolatileTTL                  // the key to expire soonest
)

var policyNames = [...]string{"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
	"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"}

// String returns the name as in the configuration.
func (p Policy) String() string { return policyNames[p] }

// ParsePolicy returns the policy of that name.
func ParsePolicy(name string) (Policy, error) {
	for i, n := range policyNames {
		if n == name {
			return Policy(i), nil
		}
	}
	return 0, fmt.Errorf("there is no maxmemory-policy %q; the policies are %q", name, policyNames)
}

// LFU reports whether the policy wants access words to hold LFU counters (Store.LFU).
func (p Policy) LFU() bool { return p == AllKeysLFU || p == VolatileLFU }

// Volatile reports whether only keys with an expiry may go.
func (p Policy) Volatile() bool { return p >= VolatileLRU }

// ByAccess reports whether the policy goes by when or how often keys were accessed.
func (p Policy) ByAccess() bool { return p.LFU() || p == AllKeysLRU || p == VolatileLRU }
