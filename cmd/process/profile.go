package process

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// ServeProfiles serves net/http/pprof under /debug/pprof/ on addr ("host:port"; a lone ":port" means the loopback
// address, since profiles tell what a server holds) and returns the address in use. Profiles of blocking and of mutexes
// stay off until asked for with the query parameter rate (/debug/pprof/block?rate=1), because taking them costs every
// lock. The server ends with the process. fail is called if serving ends on its own.
func ServeProfiles(addr string, fail func(error)) (net.Addr, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("pprof-addr %s: %w", addr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("pprof-addr %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/block", rated("block", setBlockRate))
	mux.HandleFunc("/debug/pprof/mutex", rated("mutex", setMutexRate))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fail(err)
		}
	}()
	return l.Addr(), nil
}
