package process

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals are the signals that end a server, SIGTERM and SIGINT, in the order of their arrival. SIGHUP and SIGPIPE are ignored
// from now on: a terminal or a reader that goes away is no reason to stop serving.
func Signals() <-chan os.Signal {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	return c
}

// SignalName is the signal's name as Redis writes it.
func SignalName(s os.Signal) string {
	switch s {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return s.String()
}
