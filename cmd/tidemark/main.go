// Tidemark is a durable drop-in Redis server: see README.md.
//
//	tidemark [redis.conf] [--directive value ...] [-]
//
// This command only wires: package config reads the configuration, package process deals with the operating system, package engine is the
// server. Its exit status is 0 after a clean shutdown, and 1 if it could not start or could not end cleanly.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"tidemark/cmd/process"
	"tidemark/engine"
	"tidemark/engine/config"
	"tidemark/engine/serverlog"
	"tidemark/shipper"
)

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is main up to the exit status.
func run(argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	program := filepath.Base(argv[0])
	if err := refusedName(program); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	inv, err := config.ParseArgs(argv[1:])
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	case inv.Version:
		fmt.Fprintln(stdout, versionLine())
		return 0
	case inv.Help:
		fmt.Fprint(stdout, config.Usage(program))
		return 0
	}
	var piped []byte
	if inv.Stdin {
		if piped, err = io.ReadAll(stdin); err != nil {
			fmt.Fprintf(stderr, "%s: the configuration cannot be read from standard input: %v\n", program, err)
			return 1
		}
	}
	cfg, err := config.Read(inv, strings.NewReader(string(piped)))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	v := cfg.Load()
	logPath := v.Path(v.LogFile)
	if err := checkLogFile(logPath); err != nil {
		fmt.Fprintf(stderr, "\n*** FATAL CONFIG FILE ERROR (Tidemark %s) ***\nlogfile %s\nCan't open the log file: %v\n", config.Version, v.LogFile, err)
		return 1
	}
	watcher, watchErr := supervisor(v)
	daemon := process.IsDaemon()
	if v.Daemonize && !daemon && !watcher.Active() {
		if err := process.Daemonize(piped); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", program, err)
			return 1
		}
		return 0
	}
	log, err := openLog(v, logPath)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
	defer log.Close()
	greet(log, cfg, argv[0])
	if watchErr != nil {
		log.Warningf("%v", watchErr)
	}
	p := &life{cfg: cfg, log: log, argv0: argv[0], daemon: daemon, supervisor: watcher, end: os.Exit}
	return p.live()
}

// checkLogFile makes sure, while there is still a terminal to complain to, that the log can be written.
func checkLogFile(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// supervisor finds who supervises this process, as the configuration says.
func supervisor(v *config.Values) (*process.Supervisor, error) {
	switch v.Supervised {
	case config.SupervisedSystemd:
		return process.Systemd()
	case config.SupervisedUpstart:
		return process.Upstart()
	case config.SupervisedAuto:
		return process.Detect(), nil
	}
	return &process.Supervisor{}, nil
}

// openLog starts the log. With a log file, the stacks that the runtime prints when the process crashes go there too.
func openLog(v *config.Values, path string) (*serverlog.Logger, error) {
	o := serverlog.Options{Path: path, Level: v.LogLevel, Role: serverlog.RoleStarter}
	var sysErr error
	if v.SyslogEnabled {
		o.Syslog, sysErr = openSyslog(v)
	}
	log, err := serverlog.New(o)
	if err != nil {
		return nil, fmt.Errorf("the log cannot be opened: %w", err)
	}
	if sysErr != nil {
		log.Warningf("The system log cannot be reached: %v. Lines go only to the log file.", sysErr)
	}
	if path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			err = debug.SetCrashOutput(f, debug.CrashOptions{})
			f.Close() // the runtime has its own duplicate
		}
		if err != nil {
			log.Warningf("A crash report could not be written to the log file: %v", err)
		}
	}
	return log, nil
}

func greet(log *serverlog.Logger, cfg *config.Config, argv0 string) {
	sha, modified, _ := build()
	log.Noticef("oO0OoO0OoO0Oo Tidemark is starting oO0OoO0OoO0Oo")
	log.Noticef("Redis version=%s, tidemark_version=%s, bits=64, commit=%s, modified=%d, pid=%d, just started",
		config.RedisVersion, config.Version, sha, modified, os.Getpid())
	if cfg.File() != "" {
		log.Noticef("Configuration loaded")
	} else {
		log.Noticef("No config file specified, using the default config; data in %s. To specify a config file use %s /path/to/redis.conf",
			cfg.Load().Dir, argv0)
	}
	if names := cfg.Accepted(); len(names) > 0 {
		log.Noticef("Accepted, but without meaning here: %s", strings.Join(names, ", "))
	}
}

// showLogo says who is there, where and as what process. Redis's test suite, which turns it on, looks for " PID: ".
func showLogo(log *serverlog.Logger, v *config.Values) {
	log.Noticef("  ~ ~~ ~~~ ~~~~~   T I D E M A R K %s, speaks Redis %s", config.Version, config.RedisVersion)
	log.Noticef("  ~~~ ~~~~ ~~~~~   Running in standalone mode, Port: %d", v.Port)
	log.Noticef("  ______________   PID: %d", os.Getpid())
}

// startEngine is the one place where the process meets the server.
func startEngine(cfg *config.Config, log *serverlog.Logger) (server, error) {
	return engine.Start(cfg, log, shipper.New())
}
