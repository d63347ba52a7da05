package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tidemark/cmd/process"
	"tidemark/engine"
	"tidemark/engine/config"
	"tidemark/engine/serverlog"
)

// server is what the process needs of package engine.
type server interface {
	// Wait returns when the server has ended, whoever ended it.
	Wait()
	// WaitLoaded returns when the data are loaded, with an error when they could not be or the server was ended before.
	WaitLoaded() error
	// Loading reports whether data are being loaded.
	Loading() bool
	// Shutdown ends the server; with an error it goes on serving.
	Shutdown(config.ShutdownFlags) error
}

// life is the process from the open log to its end.
type life struct {
	cfg        *config.Config
	log        *serverlog.Logger
	argv0      string
	daemon     bool
	supervisor *process.Supervisor
	pidFile    string // empty: none was written

	endOnce sync.Once
	end     func(status int) // os.Exit
}

// live runs the server and returns the exit status.
func (p *life) live() int {
	if err := p.prepare(); err != nil {
		return p.fatal(err)
	}
	signals := process.Signals()
	started := make(chan server, 1)
	go p.obey(signals, started)
	p.log.SetRole(serverlog.RolePrimary)
	p.tell(p.supervisor.Loading())
	v := p.cfg.Load()
	if v.AlwaysShowLogo {
		showLogo(p.log, v)
	} else {
		p.log.Noticef("Running mode=standalone, port=%d.", v.Port)
	}
	s, err := startEngine(p.cfg, p.log)
	if err != nil {
		return p.fatal(err)
	}
	p.writePidFile(v, true)
	p.watchConfig()
	p.showTitle(v)
	p.log.Noticef("Server initialized")
	started <- s
	switch err := s.WaitLoaded(); {
	case errors.Is(err, engine.ErrStopped):
		s.Wait()
		p.leave()
		return 0
	case err != nil:
		return p.fatal(err)
	}
	if v.Port != 0 {
		p.log.Noticef("Ready to accept connections tcp")
	}
	if v.UnixSocket != "" {
		p.log.Noticef("Ready to accept connections unix")
	}
	p.tell(p.supervisor.Ready())
	s.Wait()
	p.tell(p.supervisor.Stopping())
	p.leave()
	return 0
}

// prepare brings the process into the state in which the server is to run.
func (p *life) prepare() error {
	v := p.cfg.Load()
	if v.DirGiven {
		if err := os.Chdir(v.Dir); err != nil {
			return fmt.Errorf("Can't chdir to '%s': %w", v.Dir, err)
		}
	} else if err := os.MkdirAll(v.Dir, 0o755); err != nil {
		return fmt.Errorf("the data directory cannot be made: %w; choose another with --dir", err)
	}
	clients, err := process.FitFileLimit(v.MaxClients, p.log.Logf)
	if err != nil {
		return err
	}
	if clients != v.MaxClients {
		p.cfg.Adjust(func(v *config.Values) { v.MaxClients = clients })
	}
	p.checkBacklog(v.TCPBacklog)
	if v.PprofAddr != "" {
		addr, err := process.ServeProfiles(v.PprofAddr, func(err error) { p.log.Warningf("Profiles are no longer served: %v", err) })
		if err != nil {
			return err
		}
		p.log.Noticef("Profiles at http://%s/debug/pprof/", addr)
	}
	p.writePidFile(v, false)
	return nil
}

// checkBacklog warns when the kernel cuts tcp-backlog short.
func (p *life) checkBacklog(backlog int64) {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return // a sandbox without it; the kernel decides all the same
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 && n < backlog {
		p.log.Warningf("WARNING: The TCP backlog setting of %d cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower value of %d.", backlog, n)
	}
}

// writePidFile writes the pid file, at once if nobody else's pid is in it, and at the latest when the server has started.
func (p *life) writePidFile(v *config.Values, started bool) {
	path := v.Path(v.PidFile)
	if path == "" && p.daemon {
		path = process.DefaultPidFile
	}
	if path == "" || p.pidFile != "" || !started && process.PidFileHeld(path) {
		return
	}
	if err := process.WritePidFile(path); err != nil {
		if started {
			p.log.Warningf("Failed to write PID file: %v", err)
		}
		return
	}
	p.pidFile = path
}

// aboutToStart is how long a signal that comes before the server has started waits for that.
const aboutToStart = 500 * time.Millisecond

// obey waits for the signals that end the server. A shutdown that fails (the last snapshot could not be written) leaves it serving and waits for
// the next one; a SIGINT while one is under way ends the process at once.
func (p *life) obey(signals <-chan os.Signal, started <-chan server) {
	var s server
	var failed chan error
	for {
		select {
		case s = <-started:
			started = nil
		case err := <-failed:
			failed = nil
			p.log.Warningf("Signal received but errors trying to shut down the server, check the logs for more information: %v", err)
		case sig := <-signals:
			if s == nil {
				// The listeners are about to be opened. When that takes long something is wrong, and nobody waits for it.
				select {
				case s = <-started:
				case <-time.After(aboutToStart):
				}
			}
			if s == nil || s.Loading() {
				// The data may take minutes to load, and nothing is lost when that ends in the middle.
				p.log.Warningf("Received shutdown signal during loading, exiting now.")
				p.exit(0)
				return
			}
			if failed != nil {
				if sig == syscall.SIGINT {
					p.log.Warningf("You insist... exiting now.")
					p.exit(1)
					return
				}
				continue
			}
			p.log.Warningf("Received %s scheduling shutdown...", process.SignalName(sig))
			v := p.cfg.Load()
			how := v.ShutdownOnSigterm
			if sig == syscall.SIGINT {
				how = v.ShutdownOnSigint
			}
			failed = make(chan error, 1)
			go func(failed chan<- error) {
				if err := s.Shutdown(how); err != nil {
					failed <- err
				}
			}(failed)
		}
	}
}

// watchConfig applies what CONFIG SET changes of the process; what it changes of the server is package engine's.
func (p *life) watchConfig() {
	p.cfg.OnChange("dir", func(_, new *config.Values) error { return os.Chdir(new.Dir) })
	p.cfg.OnChange("maxclients", func(_, new *config.Values) error {
		if n, err := process.FitFileLimit(new.MaxClients, p.log.Logf); err != nil || n < new.MaxClients {
			return fmt.Errorf("The operating system is not able to handle the specified number of clients, try with %d", n)
		}
		return nil
	})
	p.cfg.OnChangeOf([]string{"proc-title-template", "bind", "port"}, func(_, new *config.Values) error {
		p.showTitle(new)
		return nil
	})
}

// showTitle sets the process's title. That a kernel does not allow it is no news to anybody but a developer.
func (p *life) showTitle(v *config.Values) {
	if !v.SetProcTitle {
		return
	}
	host := "*"
	if len(v.Bind) > 0 {
		host = strings.TrimPrefix(v.Bind[0], "-")
	}
	listen := fmt.Sprintf("%s:%d", host, v.Port)
	if v.Port == 0 {
		listen = v.UnixSocket
	}
	title := process.ExpandTitle(v.ProcTitleTemplate, map[string]string{
		"title": p.argv0, "listen-addr": listen, "server-mode": "", "port": strconv.FormatInt(v.Port, 10),
		"tls-port": "0", "unixsocket": v.UnixSocket, "config-file": p.cfg.File(),
	})
	if err := process.SetTitle(title); err != nil {
		p.log.Debugf("%v", err)
	}
}

// tell logs what went wrong when the supervisor was told something.
func (p *life) tell(err error) {
	if err != nil {
		p.log.Warningf("The supervisor could not be told: %v", err)
	}
}

// fatal ends a start that failed.
func (p *life) fatal(err error) int {
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			p.log.Warningf("%s", line)
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		p.log.Warningf("Failed listening on port %d (tcp), aborting.", p.cfg.Load().Port)
	}
	p.leave()
	return 1
}

// leave tidies up behind the server. It runs once, whoever comes first.
func (p *life) leave() {
	p.endOnce.Do(func() {
		if p.pidFile != "" {
			p.log.Noticef("Removing the pid file.")
			if err := process.RemovePidFile(p.pidFile); err != nil {
				p.log.Warningf("The pid file could not be removed: %v", err)
			}
		}
		p.log.Close()
	})
}

// exit ends the process here and now. The disk may stand still: the log gets a moment, no more.
func (p *life) exit(status int) {
	done := make(chan struct{})
	go func() {
		p.leave()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
	p.end(status)
}
