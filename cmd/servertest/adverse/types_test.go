package adverse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// As TestQueues, with keys that are a list, a sorted set or a stream, and become another while clients wait for them: by a command, by RENAME, COPY, RESTORE,
// SORT with STORE or ZUNIONSTORE, within MULTI and without. Elements bear names of their own, so each is served once, or is left somewhere.
func TestQueuesOfManyTypes(t *testing.T) {
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{"--io-threads", "3", "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""}})
	replica := servertest.StartRedis(t, servertest.Config{Args: []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(srv.Port)}})
	q := &queues{t: t, srv: srv, got: map[string]string{}}
	var producers, consumers sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		producers.Go(func() { q.change(i, 1000*scale(t), rnd) })
	}
	for i := range 30 {
		rnd := rand.New(rand.NewPCG(seed, uint64(100+i)))
		consumers.Go(func() { q.take(fmt.Sprint("consumer", i), rnd, stop) })
	}
	consumers.Go(func() { q.disturb(rand.New(rand.NewPCG(seed, 99)), stop) })
	producers.Wait()
	close(stop)
	consumers.Wait()

	// Entries of streams stay where they are: those that no consumer of the group has are left.
	admin := srv.Connect(t)
	served := len(q.got)
	types := map[string]int{}
	for _, key := range admin.Must(t, "KEYS", "*").Strings() {
		kind := admin.Must(t, "TYPE", key).Str
		types[kind]++
		switch kind {
		case "list":
			for _, e := range admin.Must(t, "LRANGE", key, "0", "-1").Strings() {
				q.took(e, "what is left in "+key)
			}
		case "zset":
			for _, e := range admin.Must(t, "ZRANGE", key, "0", "-1").Strings() {
				q.took(e, "what is left in "+key)
			}
		case "stream":
			r := admin.Must(t, "XREADGROUP", "GROUP", "group", "last", "STREAMS", key, ">")
			if r.IsNull() {
				continue
			}
			for _, e := range r.Elems[0].Elems[1].Elems {
				q.took(e.Elems[1].Elems[1].Str, "what is left in "+key)
			}
		}
	}
	missing := int(q.pushed.Load()) - len(q.got)
	t.Logf("%d pushed, %d served, %d left (%v), %d waits given up or cut short, %d elements served to clients that had gone", q.pushed.Load(), served,
		len(q.got)-served, types, q.cut.Load(), missing)
	if missing < 0 || missing > int(q.abandoned.Load()) {
		t.Errorf("%d elements are missing; clients left %d times while they waited", missing, q.abandoned.Load())
	}
	if q.cut.Load() == 0 || q.abandoned.Load() == 0 || served < 500 {
		t.Error("the test shows nothing")
	}
	q.settled(admin, replica)
}

// change adds elements to keys of several types. What stands in their way is put aside, under a name that nobody waits for.
func (q *queues) change(id, n int, rnd *rand.Rand) {
	c, err := q.srv.Dial()
	if err != nil {
		q.t.Error(err)
		return
	}
	defer c.Close()
	do := func(args ...string) servertest.Reply {
		r, err := c.Do(args...)
		if err != nil {
			q.t.Errorf("%v: %v", args, err)
		}
		return r
	}
	own := fmt.Sprint("own", id)
	names := 0
	name := func() string {
		names++
		return fmt.Sprintf("%d.%d", id, names)
	}
	for names < n {
		key := anyList(rnd)
		elems := []string{name(), name()}
		// In a key of its own first, which then takes the place of one that is waited for; or straight into that.
		straight := rnd.IntN(2) == 0
		to := own
		if straight {
			to = key
		}
		var add [][]string
		switch rnd.IntN(3) {
		case 0:
			add = [][]string{{"RPUSH", to, elems[0], elems[1]}}
		case 1:
			add = [][]string{{"ZADD", to, "1", elems[0], "2", elems[1]}}
		case 2:
			add = [][]string{{"XGROUP", "CREATE", to, "group", "0", "MKSTREAM"}, {"XADD", to, "*", "name", elems[0]}, {"XADD", to, "*", "name", elems[1]}}
		}
		aside := fmt.Sprintf("aside%d.%d", id, names)
		transaction := [][]string{{"RENAME", key, aside}}
		if straight {
			transaction = append(transaction, add...)
		} else {
			for _, args := range add {
				if r := do(args...); r.IsError() {
					q.t.Errorf("%v: %v", args, r)
				}
			}
			move := [][]string{{"RENAME", own, key}}
			switch kind := rnd.IntN(4); {
			case kind == 0:
				move = [][]string{{"COPY", own, key}, {"DEL", own}}
			case kind == 1:
				move = [][]string{{"RESTORE", key, "0", do("DUMP", own).Str}, {"DEL", own}}
			case kind == 2 && add[0][0] == "RPUSH":
				move = [][]string{{"SORT", own, "BY", "nosort", "STORE", key}, {"DEL", own}}
			case kind == 2 && add[0][0] == "ZADD":
				move = [][]string{{"ZUNIONSTORE", key, "1", own}, {"DEL", own}}
			}
			transaction = append(transaction, move...)
		}
		do("MULTI")
		for _, args := range transaction {
			do(args...)
		}
		r := do("EXEC")
		for i, e := range r.Elems {
			if e.IsError() && i > 0 { // there need be nothing to put aside
				q.t.Errorf("%v: %v", transaction[i], e)
			}
		}
		q.pushed.Add(2)
		if rnd.IntN(4) == 0 {
			time.Sleep(time.Duration(rnd.IntN(2000)) * time.Microsecond)
		}
	}
}

// take waits for elements of any kind until stop.
func (q *queues) take(who string, rnd *rand.Rand, stop chan struct{}) {
	q.wait(rnd, stop, func(timeout string) ([]string, int64) {
		switch rnd.IntN(7) {
		case 0:
			return []string{"BLPOP", anyList(rnd), anyList(rnd), timeout}, 1
		case 1:
			return []string{"BZPOPMIN", anyList(rnd), anyList(rnd), timeout}, 1
		case 2:
			return []string{"BZMPOP", timeout, "2", anyList(rnd), anyList(rnd), "MAX", "COUNT", "2"}, 2
		case 3:
			return []string{"BLMPOP", timeout, "1", anyList(rnd), "LEFT", "COUNT", "2"}, 2
		case 4:
			return []string{"BLMOVE", anyList(rnd), "moved" + who, "LEFT", "RIGHT", timeout}, 1
		}
		return []string{"XREADGROUP", "GROUP", "group", who, "COUNT", "1", "BLOCK", strconv.Itoa(1 + rnd.IntN(50)), "STREAMS", anyList(rnd), ">"}, 1
	}, func(args []string, r servertest.Reply) error {
		if !r.IsError() {
			q.served(args[0], r, who)
			return nil
		}
		// The key is of another type, or not there any more, or its group is not.
		if word, _, _ := strings.Cut(r.Str, " "); word != "WRONGTYPE" && (args[0] != "XREADGROUP" || word != "NOGROUP") {
			return errors.New(r.Str)
		}
		q.cut.Add(1)
		time.Sleep(time.Millisecond) // what stands in the way does so for a while: not asked for all the time
		return nil
	})
}
