package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidemark/cmd/process"
	"tidemark/engine/config"
	"tidemark/engine/serverlog"
)

// stubborn is a server whose shutdown waits for its answer.
type stubborn struct {
	asked   chan config.ShutdownFlags
	answer  chan error
	loading bool
}

func (s *stubborn) Wait()             {}
func (s *stubborn) WaitLoaded() error { return nil }
func (s *stubborn) Loading() bool     { return s.loading }

func (s *stubborn) Shutdown(how config.ShutdownFlags) error {
	s.asked <- how
	return <-s.answer
}

func TestSignals(t *testing.T) {
	var log bytes.Buffer
	l, err := serverlog.New(serverlog.Options{Output: &log})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan int, 1)
	cfg := config.New(t.TempDir())
	if err := cfg.Set([]string{"shutdown-on-sigterm", "nosave now", "shutdown-on-sigint", "save"}, config.Caller{}); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(t.TempDir(), "x.pid")
	if err := process.WritePidFile(pid); err != nil {
		t.Fatal(err)
	}
	p := &life{cfg: cfg, log: l, pidFile: pid, end: func(status int) { ended <- status }}
	signals, started := make(chan os.Signal), make(chan server, 1)
	s := &stubborn{asked: make(chan config.ShutdownFlags), answer: make(chan error)}
	started <- s
	go p.obey(signals, started)

	signals <- syscall.SIGTERM
	if how := <-s.asked; how != config.ShutdownNoSave|config.ShutdownNow {
		t.Errorf("SIGTERM: %b", how)
	}
	signals <- syscall.SIGTERM // changes nothing
	s.answer <- errors.New("no room")
	var how config.ShutdownFlags
	for asked := false; !asked; { // until the failure has been noticed, signals are ignored
		select {
		case signals <- syscall.SIGTERM:
		case how = <-s.asked:
			asked = true
		}
	}
	if how != config.ShutdownNoSave|config.ShutdownNow {
		t.Errorf("SIGTERM after a shutdown that failed: %b", how)
	}
	signals <- syscall.SIGINT
	if status := <-ended; status != 1 {
		t.Errorf("a SIGINT during the shutdown: status %d", status)
	}
	if _, err := os.Stat(pid); !os.IsNotExist(err) {
		t.Errorf("the pid file: %v", err)
	}
	for _, want := range []string{"# Received SIGTERM scheduling shutdown...", "shut down the server, check the logs for more information: no room", "# You insist... exiting now."} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
}

// TestSignalWhileLoading: nobody waits for the data, whether the listeners are open yet or not.
func TestSignalWhileLoading(t *testing.T) {
	for _, open := range []bool{false, true} {
		var log bytes.Buffer
		l, err := serverlog.New(serverlog.Options{Output: &log})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan int, 1)
		p := &life{cfg: config.New(t.TempDir()), log: l, end: func(status int) { ended <- status }}
		signals, started := make(chan os.Signal, 1), make(chan server, 1)
		if open {
			started <- &stubborn{loading: true}
		}
		signals <- syscall.SIGTERM
		go p.obey(signals, started)
		if status := <-ended; status != 0 || !strings.Contains(log.String(), "during loading, exiting now.") {
			t.Errorf("status %d\n%s", status, log.String())
		}
	}
}
