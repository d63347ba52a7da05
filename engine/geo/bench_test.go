package geo

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are requests that must not allocate, on a small and on a large sorted set.
var hot = []commandtest.Case{
	{"GEOADDSame", "GEOADD $ 13.361389 38.115556 here"},
	{"GEOADDThree", "GEOADD $ CH 13.361389 38.115556 here 15.087269 37.502669 there 13.5 38 third"},
	{"GEOPOS", "GEOPOS $ here there none"},
	{"GEOHASH", "GEOHASH $ here none"},
	{"GEODIST", "GEODIST $ here there km"},
	{"GEOSEARCH", "GEOSEARCH $ FROMLONLAT 15 37 BYRADIUS 80 km"},
	{"GEOSEARCHWith", "GEOSEARCH $ FROMMEMBER here BYRADIUS 50 km ASC COUNT 10 WITHDIST WITHCOORD WITHHASH"},
	{"GEOSEARCHBox", "GEOSEARCH $ FROMLONLAT 15 37 BYBOX 40 40 km DESC"},
	{"GEOSEARCHAny", "GEOSEARCH $ FROMLONLAT 15 37 BYRADIUS 100 km COUNT 5 ANY"},
	{"GEORADIUS", "GEORADIUS $ 15 37 80 km"},
	{"GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO $ here 20 km WITHDIST"},
}

func loaded(tb testing.TB, key string) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	rnd := rand.New(rand.NewPCG(1, 2))
	n := map[string]int{"small": 50, "large": 10000}[key]
	r.Do("GEOADD", key, "13.361389", "38.115556", "here", "15.087269", "37.502669", "there", "13.5", "38", "third")
	for i := range n {
		r.Do("GEOADD", key, number(13+4*rnd.Float64(), 6), number(36+3*rnd.Float64(), 6), "member:"+strconv.Itoa(i))
	}
	return r
}

// The memory for what is found goes to a pool, from which a garbage collection may take it now and then.
func TestHotPathAllocatesNothing(t *testing.T) {
	for _, key := range []string{"small", "large"} {
		r := loaded(t, key)
		for _, c := range hot {
			r.AllocatesNothing(c, key)
		}
	}
}

func BenchmarkCommands(b *testing.B) { commandtest.Benchmark(b, hot, loaded, "small", "large") }
