package process

import (
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"
	"time"
)

func setBlockRate(n int) { runtime.SetBlockProfileRate(n) }
func setMutexRate(n int) { runtime.SetMutexProfileFraction(n) }

// maxProfileSeconds bounds how long one request keeps a costly profile on.
const maxProfileSeconds = 300

// rated serves the named profile. With ?rate=n it is taken for ?seconds (10 unless said, the request's own time at most) at
// that rate, in the runtime's meaning of it, and switched off again.
func rated(name string, set func(int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := r.FormValue("rate"); s != "" {
			rate, err := strconv.Atoi(s)
			if err != nil || rate < 1 {
				http.Error(w, "rate must be a positive integer: see runtime.SetBlockProfileRate and SetMutexProfileFraction", http.StatusBadRequest)
				return
			}
			seconds := 10
			if s := r.FormValue("seconds"); s != "" {
				seconds, err = strconv.Atoi(s)
				if err != nil || seconds < 1 || seconds > maxProfileSeconds {
					http.Error(w, "seconds must be between 1 and "+strconv.Itoa(maxProfileSeconds), http.StatusBadRequest)
					return
				}
			}
			set(rate)
			defer set(0)
			select {
			case <-time.After(time.Duration(seconds) * time.Second):
			case <-r.Context().Done():
				return
			}
			q := r.URL.Query()
			q.Del("seconds") // or the handler would wait once more, for the difference
			r.URL.RawQuery = q.Encode()
			r.Form = nil
		}
		pprof.Handler(name).ServeHTTP(w, r)
	}
}
