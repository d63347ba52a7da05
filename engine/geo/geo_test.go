package geo

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/zset"
)

func families() [][]*command.Descriptor {
	return [][]*command.Descriptor{Commands(), zset.Commands()}
}

func number(f float64, digits int) string { return strconv.FormatFloat(f, 'f', digits, 64) }

// place makes up a position: anywhere, or close to one of a few places, some of them awkward.
func place(rnd *rand.Rand) (lon, lat string) {
	if rnd.IntN(3) == 0 {
		return number(rnd.Float64()*360-180, rnd.IntN(12)), number(rnd.Float64()*170-85, rnd.IntN(12))
	}
	at := [][2]float64{{13.4, 52.5}, {-73.9, 40.7}, {180, 0}, {-180, 0}, {0, 0}, {179.99, 85}, {-179.99, -85}, {0, 85.05112878}, {45, -85.05112878}}[rnd.IntN(9)]
	near := math.Pow(10, float64(rnd.IntN(6)-5))
	lo := max(-180, min(180, at[0]+rnd.NormFloat64()*near))
	la := max(-85.05112878, min(85.05112878, at[1]+rnd.NormFloat64()*near))
	if rnd.IntN(6) == 0 {
		lo, la = at[0], at[1]
	}
	return strconv.FormatFloat(lo, 'f', -1, 64), strconv.FormatFloat(la, 'f', -1, 64)
}

// distinctPlace gives few members the same position: which of several that are equally far comes first when COUNT cuts the reply, is left to the sorting.
func distinctPlace(rnd *rand.Rand, seen map[float64]bool) (lon, lat string) {
	for {
		lon, lat = place(rnd)
		x, _ := strconv.ParseFloat(lon, 64)
		y, _ := strconv.ParseFloat(lat, 64)
		if score := scoreOf(x, y); !seen[score] {
			seen[score] = true
			return lon, lat
		}
	}
}

// searchRequest makes up a request of the GEOSEARCH and GEORADIUS families.
func searchRequest(rnd *rand.Rand, key, member func() string, store bool) []string {
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	unit := pick("m", "km", "ft", "mi", "KM")
	size := number(math.Pow(10, rnd.Float64()*10-2), 3)
	if rnd.IntN(20) == 0 {
		size = pick("0", "inf", "1e300", "20037726", "40000000")
	}
	lon, lat := place(rnd)
	var args []string
	plain := false
	old := rnd.IntN(3) == 0
	switch {
	case old && rnd.IntN(2) == 0:
		args = []string{"GEORADIUS" + pick("", "_RO"), key(), lon, lat, size, unit}
	case old:
		args = []string{"GEORADIUSBYMEMBER" + pick("", "_RO"), key(), member(), size, unit}
	default:
		args = []string{"GEOSEARCH", key()}
		if store && rnd.IntN(4) == 0 {
			args, plain = []string{"GEOSEARCHSTORE", "to" + key(), key()}, true
		}
		from, by := []string{"FROMLONLAT", lon, lat}, []string{"BYRADIUS", size, unit}
		if rnd.IntN(2) == 0 {
			from = []string{"FROMMEMBER", member()}
		}
		if rnd.IntN(2) == 0 {
			by = []string{"BYBOX", size, number(math.Pow(10, rnd.Float64()*10-2), 3), unit}
		}
		args = append(append(args, from...), by...)
	}
	if rnd.IntN(2) == 0 {
		args = append(args, pick("ASC", "DESC"))
	}
	if rnd.IntN(3) == 0 && !plain {
		args = append(args, "COUNT", strconv.Itoa(1+rnd.IntN(30)))
		if rnd.IntN(3) == 0 {
			args = append(args, "ANY")
		}
		return append(args, "WITHDIST")
	}
	if plain {
		if rnd.IntN(2) == 0 {
			args = append(args, "STOREDIST")
		}
		return args
	}
	if store && old && !strings.HasSuffix(args[0], "_RO") && rnd.IntN(4) == 0 {
		return append(args, pick("STORE", "STOREDIST"), "to"+key())
	}
	for _, w := range []string{"WITHCOORD", "WITHDIST", "WITHHASH"} {
		if rnd.IntN(3) == 0 {
			args = append(args, w)
		}
	}
	return args
}

// TestLikeRedis compares replies with redis-server's, and scores of stored distances with all digits.
func TestLikeRedis(t *testing.T) {
	for _, proto := range []string{"2", "3"} {
		seed := uint64(time.Now().UnixNano())
		rnd := rand.New(rand.NewPCG(seed, 0))
		seen := map[float64]bool{}
		ours, theirs := commandtest.New(t, families()...), commandtest.StartRedis(t)
		bytes := func(words []string) (args [][]byte) {
			for _, w := range words {
				args = append(args, []byte(w))
			}
			return args
		}
		theirs.Do(bytes([]string{"HELLO", proto}))
		ours.Do("HELLO", proto)
		for i, bad := 0, 0; i < 15000 && bad < 5; i++ {
			words := randomRequest(rnd, seen)
			want, got := theirs.Do(bytes(words)), ours.DoArgs(bytes(words))
			if got == want || slices.Contains(words, "COUNT") && slices.Equal(distances(got), distances(want)) {
				continue
			}
			if d := difference(got, want); d != "" {
				bad++
				t.Errorf("seed %d, request %d: %q: %s\n got %.300q\nwant %.300q", seed, i, words, d, got, want)
			}
		}
	}
}

// difference compares replies but for how numbers are printed, and for the last bits of few of them: redis-server's library does not always
// round a sine to the nearest, which shows the more the further apart two positions are. "" means that there is none.
func difference(a, b string) string {
	x, y := strings.Split(a, "\r\n"), strings.Split(b, "\r\n")
	if len(x) != len(y) {
		return "lengths"
	}
	off, numbers := 0, 0
	for i := range x {
		f, err1 := strconv.ParseFloat(strings.TrimPrefix(x[i], ","), 64)
		g, err2 := strconv.ParseFloat(strings.TrimPrefix(y[i], ","), 64)
		switch {
		case err1 == nil:
			numbers++
			if err2 != nil || math.Abs(f-g) > 1e-13*math.Abs(f) && !(fourDecimals(x[i]) && math.Abs(f-g) < 1.5e-4) {
				return x[i] + " and " + y[i]
			}
			if f != g {
				off++
			}
		case x[i] != y[i] && !(strings.HasPrefix(x[i], "$") && strings.HasPrefix(y[i], "$")):
			return x[i] + " and " + y[i]
		}
	}
	if off > 3+numbers/2 {
		return fmt.Sprintf("%d of %d numbers", off, numbers)
	}
	return ""
}

// distances are those in a reply. Which of several members that are equally far, as mirror images of each other are, COUNT leaves, is left to the sorting.
func distances(reply string) (out []string) {
	for line := range strings.SplitSeq(reply, "\r\n") {
		if fourDecimals(line) {
			out = append(out, line)
		}
	}
	return out
}

// fourDecimals are what distances are replied with.
func fourDecimals(s string) bool {
	i := strings.IndexByte(s, '.')
	return i >= 0 && len(s)-i == 5
}

func randomRequest(rnd *rand.Rand, seen map[float64]bool) []string {
	key := func() string { return "g" + strconv.Itoa(rnd.IntN(3)) }
	member := func() string { return "m" + strconv.Itoa(rnd.IntN(400)) }
	switch n := rnd.IntN(100); {
	case n < 30:
		args := []string{"GEOADD", key()}
		for _, w := range []string{"NX", "XX", "CH"} {
			if rnd.IntN(5) == 0 {
				args = append(args, w)
			}
		}
		for range 1 + rnd.IntN(20) {
			lon, lat := distinctPlace(rnd, seen)
			args = append(args, lon, lat, member())
		}
		return args
	case n < 35:
		return []string{"GEODIST", key(), member(), member(), []string{"m", "km", "MI", "ft"}[rnd.IntN(4)]}
	case n < 40:
		return []string{"GEOPOS", key(), member(), member()}
	case n < 45:
		return []string{"GEOHASH", key(), member(), member()}
	case n < 90:
		return searchRequest(rnd, key, member, true)
	case n < 95:
		return []string{"ZRANGE", "to" + key(), "0", "-1", "WITHSCORES"}
	case n < 99:
		return []string{"ZREM", key(), member()}
	}
	return []string{"DEL", key()}
}

func TestTrigonometry(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	n := 4000
	wrong := map[string]int{}
	check := func(name string, x, got float64, want *big.Float) {
		f, _ := want.Float64()
		if f == got {
			return
		}
		wrong[name]++
		if math.Abs(f-got) > 3e-16*math.Abs(f) {
			t.Errorf("%s(%v) = %v, want %v", name, x, got, f)
		}
	}
	for range n {
		x := (rnd.Float64()*2 - 1) * math.Pi
		if rnd.IntN(2) == 0 {
			x *= math.Pow(2, -float64(rnd.IntN(30)))
		}
		check("sin", x, sin(x), bigSin(x))
		y := x / 2
		check("cos", y, cos(y), bigCos(y))
		// The arc sine by its inverse: it lies between the neighbours of what is said.
		z := rnd.Float64()
		if rnd.IntN(4) == 0 {
			z = 1 - math.Pow(2, -float64(rnd.IntN(50)))*z
		}
		a := asin(z)
		half := func(to float64) *big.Float {
			m := new(big.Float).SetPrec(200).Add(big.NewFloat(a), big.NewFloat(math.Nextafter(a, to)))
			return m.Quo(m, big.NewFloat(2))
		}
		if lo, hi := half(-1), half(2); sinOf(lo).Cmp(big.NewFloat(z)) > 0 || a < 1.5707 && sinOf(hi).Cmp(big.NewFloat(z)) < 0 {
			wrong["asin"]++
			if d := math.Abs(math.Sin(a) - z); d > 3e-16 {
				t.Errorf("asin(%v) = %v", z, a)
			}
		}
	}
	t.Logf("not the nearest, of %d: %v", n, wrong)
	for name, k := range wrong {
		if k > n/500 {
			t.Errorf("%s is not the nearest number in %d of %d cases", name, k, n)
		}
	}
	for _, x := range []float64{0, 1, 0.5, math.Nextafter(0.5, 1), math.Nextafter(1, 0)} {
		if got := asin(x); math.Abs(got-math.Asin(x)) > 1e-15 {
			t.Errorf("asin(%v) = %v", x, got)
		}
	}
	if sin(0) != 0 || cos(0) != 1 || sin(math.Pi) != math.Sin(math.Pi) && math.Abs(sin(math.Pi)-1.2246467991473532e-16) > 1e-31 || sin(-math.Pi/2) != -1 || !math.IsNaN(asin(1.1)) {
		t.Error("special values")
	}
}

func bigSin(x float64) *big.Float { return sinOf(new(big.Float).SetPrec(200).SetFloat64(x)) }

func sinOf(x *big.Float) *big.Float { return series200(x, 1) }

func bigCos(x float64) *big.Float { return series200(new(big.Float).SetPrec(200).SetFloat64(x), 0) }

// series200 sums the terms x^n/n! from n on, every second one, with changing signs.
func series200(x *big.Float, n int) *big.Float {
	term := new(big.Float).SetPrec(200).SetInt64(1)
	if n == 1 {
		term.Set(x)
	}
	sum := new(big.Float).SetPrec(200).Set(term)
	sq := new(big.Float).SetPrec(200).Mul(x, x)
	for range 40 {
		term.Mul(term, sq)
		term.Quo(term, new(big.Float).SetInt64(int64((n+1)*(n+2))))
		term.Neg(term)
		sum.Add(sum, term)
		n += 2
	}
	return sum
}

func TestScores(t *testing.T) {
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 10000 {
		lon, lat := rnd.Float64()*360-180, (rnd.Float64()*2-1)*maxLat
		score := scoreOf(lon, lat)
		gotLon, gotLat := position(score)
		if math.Abs(lon-gotLon) > 360.0/(1<<26) || math.Abs(lat-gotLat) > 180.0/(1<<26) || scoreOf(gotLon, gotLat) != score {
			t.Fatalf("%v,%v has score %v, which is at %v,%v", lon, lat, score, gotLon, gotLat)
		}
		for steps := uint(1); steps <= maxSteps; steps++ {
			if lo, hi := cellAt(lon, lat, steps).scores(); score < lo || score >= hi {
				t.Fatalf("score %v of %v,%v is not between %v and %v, %d steps", score, lon, lat, lo, hi, steps)
			}
		}
	}
	for _, score := range []float64{0, -1, 1e300, -1e300, math.Inf(1), math.Inf(-1), 1 << 62, 1 << 63, 1 << 64, 0.5} {
		if lon, lat := position(score); lon < minLon || lon > maxLon || lat < minLat || lat > maxLat {
			t.Errorf("score %v is at %v,%v", score, lon, lat)
		}
	}
}

// TestSearchFindsAll compares searches with the distances of all members, but for circles that reach over a pole, which redis-server does not search either.
func TestSearchFindsAll(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := commandtest.New(t, families()...)
	type member struct {
		name     string
		lon, lat float64
	}
	var all []member
	for i := range 3000 {
		lon, lat := rnd.Float64()*360-180, rnd.Float64()*140-70
		if i%2 == 0 {
			lon, lat = rnd.NormFloat64()/10, 40+rnd.NormFloat64()/10
		}
		m := member{"m" + strconv.Itoa(i), lon, lat}
		r.Do("GEOADD", "g", fmt.Sprint(lon), fmt.Sprint(lat), m.name)
		m.lon, m.lat = position(scoreOf(lon, lat))
		all = append(all, m)
	}
	for range 300 {
		lon, lat := rnd.Float64()*360-180, rnd.Float64()*120-60
		if rnd.IntN(2) == 0 {
			lon, lat = rnd.NormFloat64()/10, 40+rnd.NormFloat64()/10
		}
		radius := math.Pow(10, rnd.Float64()*4+2)
		if radius > 400e3 {
			continue
		}
		from := pointAt(lon, lat)
		var want []string
		for _, m := range all {
			if from.distance(m.lon, m.lat) <= radius {
				want = append(want, m.name)
			}
		}
		reply := r.Do("GEOSEARCH", "g", "FROMLONLAT", fmt.Sprint(lon), fmt.Sprint(lat), "BYRADIUS", fmt.Sprint(radius), "m")
		var got []string
		for _, line := range strings.Split(reply, "\r\n") {
			if strings.HasPrefix(line, "m") {
				got = append(got, line)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%v m around %v,%v: %d members, want %d", radius, lon, lat, len(got), len(want))
		}
	}
}

func TestSortTakesTheFirst(t *testing.T) {
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 500 {
		var f found
		for i := range rnd.IntN(60) {
			f.hits = append(f.hits, hit{dist: float64(rnd.IntN(20)), from: i})
		}
		want := slices.Clone(f.hits)
		o := []order{ascending, descending}[rnd.IntN(2)]
		slices.SortStableFunc(want, func(a, b hit) int {
			if o == descending {
				a, b = b, a
			}
			return int(a.dist) - int(b.dist)
		})
		count := rnd.IntN(70)
		if count > 0 && count < len(want) {
			want = want[:count]
		}
		if f.sort(o, int64(count)); !slices.Equal(f.hits, want) {
			t.Fatalf("%v, want %v", f.hits, want)
		}
	}
}

func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	r.Do("GEOADD", "g", "13.4", "52.5", "a", "13.5", "52.6", "b")
	r.Do("GEOADD", "g", "13.4", "52.5", "a")
	r.Do("GEOADD", "g", "XX", "13.4", "52.5", "c")
	r.Do("GEOSEARCH", "g", "FROMMEMBER", "a", "BYRADIUS", "100", "km")
	r.Do("GEOSEARCHSTORE", "d", "g", "FROMMEMBER", "a", "BYRADIUS", "100", "km")
	r.Do("GEOSEARCHSTORE", "d", "g", "FROMMEMBER", "a", "BYRADIUS", "100", "km", "STOREDIST")
	r.Do("GEORADIUS", "g", "0", "0", "1", "km", "STOREDIST", "d")
	r.Do("GEORADIUS", "g", "0", "0", "1", "km", "STOREDIST", "d")
	r.Do("GEORADIUSBYMEMBER", "g", "a", "100", "km", "COUNT", "1", "STORE", "e")
	r.Do("GEOSEARCHSTORE", "e", "none", "FROMMEMBER", "a", "BYRADIUS", "100", "km")
	from := pointAt(position(scoreOf(13.4, 52.5)))
	d := strconv.FormatFloat(from.distance(position(scoreOf(13.5, 52.6)))/1000, 'g', -1, 64)
	want := []string{
		"GEOADD g 13.4 52.5 a 13.5 52.6 b",
		"GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 100 km",
		"MULTI", "DEL d", "ZADD d 0 a " + d + " b", "EXEC",
		"GEORADIUS g 0 0 1 km STOREDIST d",
		"GEORADIUSBYMEMBER g a 100 km COUNT 1 STORE e",
		"GEOSEARCHSTORE e none FROMMEMBER a BYRADIUS 100 km",
	}
	before := r.Contents()
	again, got := r.Recover(time.Now().UnixMilli(), families()...)
	if !slices.Equal(got, want) {
		t.Errorf("effects are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if after := again.Contents(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%v after replay, was %v", after, before)
	}
}
