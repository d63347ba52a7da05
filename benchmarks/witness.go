package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/cmd/servertest"
)

// A turn's length on the wall clock holds whatever the machine did meanwhile. So that a reader can tell what is the server's, a witness stands beside it: a process
// with real-time priority on the same CPU, which sleeps for witnessPeriod again and again and notes by how much a sleep was too long. No
// ordinary process keeps it waiting. What does is the hypervisor that gives the CPU to another machine, or to nobody once this one has used
// its share; interrupts; and the kernel where it cannot be preempted, in a system call of the server or another. It takes about 1 % of the CPU.

// witnessCommand is the argument with which this program is the witness.
const witnessCommand = "witness"

const witnessPeriod = 500 * time.Microsecond

// runWitness answers each line of its input with the longest delay since the one before, in µs.
func runWitness() {
	var longest atomic.Int64
	go func() {
		runtime.LockOSThread()
		for last := time.Now(); ; {
			ts := unix.NsecToTimespec(int64(witnessPeriod))
			unix.Nanosleep(&ts, nil)
			now := time.Now()
			if late := int64(now.Sub(last) - witnessPeriod); late > longest.Load() {
				longest.Store(late)
			}
			last = now
		}
	}()
	in := bufio.NewReader(os.Stdin)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return // who asked has gone
		}
		fmt.Println(longest.Swap(0) / 1000)
	}
}

// witness is the process, seen from the one that started it, and the accounts of its CPU.
type witness struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	cpu   string
	since cpuAccount
}

// cpuAccount is what /proc says of one CPU and of a server's process.
type cpuAccount struct {
	at           time.Time
	busy, stolen float64 // s
	server       time.Duration
}

// newWitness starts one on a CPU. nil: that is not permitted here.
func newWitness(cpu string) *witness {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	w := &witness{cmd: exec.Command("chrt", "--fifo", "1", "taskset", "-c", cpu, self, witnessCommand), cpu: cpu}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil
	}
	if w.in, err = w.cmd.StdinPipe(); err != nil || w.cmd.Start() != nil {
		return nil
	}
	w.out = bufio.NewReader(out)
	if _, err := w.ask(); err != nil {
		w.end()
		return nil
	}
	return w
}

func (w *witness) end() {
	w.in.Close()
	w.cmd.Wait()
}

// ask returns the longest delay since it was last asked, in ms.
func (w *witness) ask() (float64, error) {
	if _, err := io.WriteString(w.in, "\n"); err != nil {
		return 0, err
	}
	line, err := w.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	micros, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	return micros / 1000, err
}

// begin begins what testimony is about.
func (w *witness) begin(s *servertest.Server) (err error) {
	if _, err = w.ask(); err == nil {
		w.since, err = w.account(s)
	}
	return err
}

// testimony says what the CPU was used for since begin.
func (w *witness) testimony(s *servertest.Server) (string, error) {
	late, err := w.ask()
	if err != nil {
		return "", err
	}
	now, err := w.account(s)
	if err != nil {
		return "", err
	}
	took := now.at.Sub(w.since.at).Seconds()
	server := (now.server - w.since.server).Seconds()
	stolen := now.stolen - w.since.stolen
	return fmt.Sprintf("in the same time a thread with real-time priority on that CPU was kept waiting for up to %.2f ms; the server used %.0f %% of the CPU, "+
		"other processes %.0f %%, and the hypervisor withheld %.1f %%", late, 100*server/took,
		100*max(now.busy-w.since.busy-server, 0)/took, 100*stolen/took), nil
}

func (w *witness) account(s *servertest.Server) (a cpuAccount, err error) {
	a.at = time.Now()
	if a.server, err = s.CPU(); err != nil {
		return a, err
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return a, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		// user nice system idle iowait irq softirq steal, in hundredths of a second
		if len(f) < 9 || f[0] != "cpu"+w.cpu {
			continue
		}
		for i, text := range f[1:9] {
			ticks, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return a, fmt.Errorf("/proc/stat: %q: %w", line, err)
			}
			switch i {
			case 3, 4, 5, 6: // interrupts are mostly the network's, in the service of the server
			case 7:
				a.stolen = ticks / 100
			default:
				a.busy += ticks / 100
			}
		}
		return a, nil
	}
	return a, fmt.Errorf("/proc/stat has no cpu%s", w.cpu)
}
