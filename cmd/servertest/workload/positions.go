package workload

import (
	"math"
	"strconv"
)

// geoKey is one of a few keys that mostly hold positions.
func (g *Generator) geoKey() string {
	if g.chance(8) {
		return g.key()
	}
	return "k" + g.number(5) + "geo"
}

// degrees are within reach of one another, and seldom twice the same: which of several members that are equally far comes first is left to the
// sorting.
func (g *Generator) degrees() (lon, lat string) {
	if g.chance(4) {
		return g.pick("180", "-180", "180.1", "abc", "0"), g.pick("85.05112878", "-85.05112878", "86", "nan", "0")
	}
	near := math.Pow(10, float64(g.Rnd.IntN(5)-3))
	return strconv.FormatFloat(13+g.Rnd.NormFloat64()*near, 'f', 9, 64), strconv.FormatFloat(40+max(-40, min(40, g.Rnd.NormFloat64()*near)), 'f', 9, 64)
}

func (g *Generator) length() string {
	if g.chance(4) {
		return g.pick("0", "-1", "inf", "abc", "1e300")
	}
	return strconv.FormatFloat(math.Pow(10, g.Rnd.Float64()*5), 'f', 2, 64)
}

func (g *Generator) unit() string {
	if g.chance(3) {
		return "yd"
	}
	return g.pick("m", "km", "km", "ft", "mi", "KM")
}

func (g *Generator) positions(o *Op) {
	member := func() string { return "p" + g.number(60) }
	switch g.Rnd.IntN(16) {
	case 0, 1, 2, 3, 4:
		o.set("GEOADD", g.geoKey())
		for range g.Rnd.IntN(3) * g.Rnd.IntN(2) {
			o.add(g.pick("NX", "XX", "CH", "ch"))
		}
		for range 1 + g.Rnd.IntN(8) {
			lon, lat := g.degrees()
			o.add(lon, lat, member())
		}
	case 5:
		o.set("GEOPOS", g.geoKey(), member(), member())
	case 6:
		o.set("GEOHASH", g.geoKey(), member(), member())
	case 7:
		o.set("GEODIST", g.geoKey(), member(), member())
		if g.chance(60) {
			o.add(g.unit())
		}
	case 8:
		o.set("ZREM", g.geoKey(), member())
	case 9:
		o.set("DEL", g.geoKey())
	default:
		g.search(o, member)
	}
}

// search makes a GEOSEARCH or an older command of its kind. Distances are not stored: their last digit may differ.
func (g *Generator) search(o *Op, member func() string) {
	lon, lat := g.degrees()
	store := false
	switch g.Rnd.IntN(6) {
	case 0:
		o.set(g.pick("GEORADIUS", "GEORADIUS_RO"), g.geoKey(), lon, lat, g.length(), g.unit())
		store = g.chance(30)
	case 1:
		o.set(g.pick("GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"), g.geoKey(), member(), g.length(), g.unit())
		store = g.chance(30)
	case 2:
		o.set("GEOSEARCHSTORE", g.geoKey(), g.geoKey())
		g.shape(o, member)
	default:
		o.set("GEOSEARCH", g.geoKey())
		g.shape(o, member)
	}
	if g.chance(60) {
		o.add(g.pick("ASC", "DESC", "asc"))
	}
	if g.chance(30) {
		o.add("COUNT", g.pick("1", "3", "10", "0", "x"))
		if g.chance(30) {
			o.add("ANY")
		}
	}
	switch {
	case store:
		o.add("STORE", g.geoKey())
	case o.Args[0] != "GEOSEARCHSTORE" || g.chance(5):
		for range g.Rnd.IntN(4) {
			o.add(g.pick("WITHCOORD", "WITHDIST", "WITHHASH", "withdist"))
		}
	}
}

func (g *Generator) shape(o *Op, member func() string) {
	if g.chance(50) {
		lon, lat := g.degrees()
		o.add("FROMLONLAT", lon, lat)
	} else {
		o.add("FROMMEMBER", member())
	}
	if g.chance(50) {
		o.add("BYRADIUS", g.length(), g.unit())
	} else {
		o.add("BYBOX", g.length(), g.length(), g.unit())
	}
}
