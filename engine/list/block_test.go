package list

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
)

// waiter is a client that waits until the end of the test.
type waiter struct{ reply string }

func (*waiter) WaitForKeys(*command.KeyWaiter, int64) {}

func (w *waiter) Serve(_ *command.KeyWaiter, reply []byte, _, _ int64) { w.reply = string(reply) }

func (*waiter) TimeUp(*command.KeyWaiter) {}

// What waiters are served stands in the log as pops and moves, in one block with what they waited for.
func TestEffectsOfServing(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	var waiters []*waiter
	for _, x := range []string{
		"BLPOP l 0", "BRPOP none l 0", "BLMPOP 0 2 none l RIGHT COUNT 2", "BRPOPLPUSH l m 0", "BLMOVE l m RIGHT LEFT 0", "BLMPOP 0 1 m LEFT",
	} {
		w := &waiter{}
		waiters = append(waiters, w)
		r.C.Client = w
		if reply := r.Do(strings.Fields(x)...); reply != "" {
			t.Fatalf("%s does not wait: %q", x, reply)
		}
	}
	r.C.Client = nil
	r.Do("RPUSH", "l", "1", "2", "3", "4", "5", "6", "7")
	for i, want := range []string{
		"*2\r\n$1\r\nl\r\n$1\r\n1\r\n", "*2\r\n$1\r\nl\r\n$1\r\n7\r\n", "*2\r\n$1\r\nl\r\n*2\r\n$1\r\n6\r\n$1\r\n5\r\n", "$1\r\n4\r\n", "$1\r\n3\r\n",
		"*2\r\n$1\r\nm\r\n*1\r\n$1\r\n3\r\n",
	} {
		if got := waiters[i].reply; got != want {
			t.Errorf("waiter %d got %q, want %q", i, got, want)
		}
	}
	was := r.Contents()
	again, got := r.Recover(time.Now().UnixMilli(), families()...)
	want := []string{"MULTI", "RPUSH l 1 2 3 4 5 6 7", "LPOP l", "RPOP l", "RPOP l 2", "RPOPLPUSH l m", "LMOVE l m RIGHT LEFT", "LPOP m 1", "EXEC"}
	if !slices.Equal(got, want) {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if now := again.Contents(); len(now) != len(was) || len(now) != 2 {
		t.Errorf("after recovery there is %v, before there was %v", now, was)
	}
}
