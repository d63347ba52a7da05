package replication

import (
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/cluster"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// tidemarkReplicates says that tidemark has REPLICAOF, PSYNC and WAIT.
const tidemarkReplicates = true

// pairing is a primary's program and its replicas'. After a failover a replica's program is the primary's.
type pairing struct{ primary, replica cluster.Program }

func (p pairing) String() string { return p.primary.Name + "-" + p.replica.Name }

// pairings are the combinations to test. Redis with itself is there to test the tests: what they demand is
// what redis gives.
func pairings() []pairing {
	list := []pairing{{cluster.Redis, cluster.Redis}}
	if tidemarkReplicates {
		list = append(list, pairing{cluster.Tidemark, cluster.Tidemark},
			pairing{cluster.Tidemark, cluster.Redis}, pairing{cluster.Redis, cluster.Tidemark})
	}
	return list
}

// firstSeed is the seed of the first schedule, printed.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()%1e9))
	t.Logf("TIDEMARK_SEED=%d", seed)
	return seed
}
