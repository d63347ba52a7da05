// Package geo is the commands that see a sorted set as positions on the earth: GEOADD, GEOPOS, GEODIST, GEOHASH, GEOSEARCH and the older GEORADIUS.
//
// A position is a score (geohash.go), the same number that redis-server has for it, so that the sorted sets are exchanged with it, and ZREM
// removes a position. A search looks at the scores of up to nine cells around the middle and tests each member in them (shape.go).
// Distances are over a sphere, by the haversine formula.
//
// GEOADD and searches that store positions stand in the log as requested. One that stores distances is logged by its effect: they come out
// of sines, which another machine's library might round otherwise.
//
// Behaviour, order of checks and error texts were taken from redis-server by experiment.
// https://redis.io/docs/latest/commands/?group=geo
package geo

import (
	"strconv"
	"strings"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
	"tidemark/engine/zset"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		geoaddCommand(), geoposCommand(), geodistCommand(), geohashCommand(),
		geosearchCommand(), geosearchstoreCommand(), georadiusCommand(), georadiusROCommand(), georadiusbymemberCommand(), georadiusbymemberROCommand(),
	}
}

// The arguments most commands of the family have.
var (
	keyArg     = command.Arg{Name: "key", Type: "key"}
	memberArg  = command.Arg{Name: "member", Type: "string"}
	membersArg = command.Arg{Name: "member", Type: "string", Flags: command.Optional | command.Multiple}
)

func arg(name, typ string) command.Arg { return command.Arg{Name: name, Type: typ} }

// flag describes an optional word.
func flag(name, token string) command.Arg {
	return command.Arg{Name: name, Type: "pure-token", Token: token, Flags: command.Optional}
}

// choice describes words of which one is to be given.
func choice(name string, flags command.ArgFlags, words ...string) command.Arg {
	a := command.Arg{Name: name, Type: "oneof", Flags: flags}
	for i := 0; i < len(words); i += 2 {
		a.Args = append(a.Args, command.Arg{Name: words[i], Type: "pure-token", Token: words[i+1]})
	}
	return a
}

func unitArg(flags command.ArgFlags) command.Arg {
	return choice("unit", flags, "m", "M", "km", "KM", "ft", "FT", "mi", "MI")
}

// describe makes the descriptor of a command whose first argument is a key.
func describe(name, since string, arity int, handler func(*command.Ctx), summary, complexity string, args ...command.Arg) *command.Descriptor {
	return &command.Descriptor{
		Name: name, Arity: arity, Flags: command.ReadOnly, Categories: command.CatGeo, Keys: command.One(read), Handler: handler,
		Group: "geo", Since: since, Summary: summary, Complexity: complexity, Args: append([]command.Arg{keyArg}, args...),
	}
}

const (
	read  = command.KeyRO | command.KeyAccess
	perN  = "O(log(N)) for each member, where N is the number of members"
	units = "ERR unsupported unit provided. please use M, KM, FT, MI"
)

// parseUnit gives the m in a unit; ok is false when the error has been replied.
func parseUnit(c *command.Ctx, a []byte) (m float64, ok bool) {
	switch {
	case command.Is(a, "m"):
		return 1, true
	case command.Is(a, "km"):
		return 1000, true
	case command.Is(a, "ft"):
		return 0.3048, true
	case command.Is(a, "mi"):
		return 1609.34, true
	}
	c.W.Error(units)
	return 0, false
}

// parsePosition reads longitude and latitude at argument i; ok is false when the error has been replied.
func parsePosition(c *command.Ctx, i int) (lon, lat float64, ok bool) {
	if lon, ok = zset.ParseDouble(c.Args[i]); ok {
		lat, ok = zset.ParseDouble(c.Args[i+1])
	}
	if !ok {
		c.W.Error(command.ErrNotFloat)
		return 0, 0, false
	}
	if lon < minLon || lon > maxLon || lat < minLat || lat > maxLat {
		c.W.Error("ERR invalid longitude,latitude pair " + sixDecimals(lon) + "," + sixDecimals(lat))
		return 0, 0, false
	}
	return lon, lat, true
}

func sixDecimals(f float64) string {
	return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'f', 6, 64), "+"))
}

func geoaddCommand() *command.Descriptor {
	condition, change := choice("condition", command.Optional, "nx", "NX", "xx", "XX"), flag("change", "CH")
	condition.Since, change.Since = "6.2.0", "6.2.0"
	d := describe("geoadd", "3.2.0", -5, geoadd, "Adds members with their positions, or changes those of members that are there", perN, condition, change,
		command.Arg{Name: "data", Type: "block", Flags: command.Multiple,
			Args: []command.Arg{arg("longitude", "double"), arg("latitude", "double"), memberArg}})
	d.Flags, d.Keys, d.Log = command.Write|command.DenyOOM, command.One(command.KeyRW|command.KeyUpdate), command.LogRequest
	d.History = [][2]string{{"6.2.0", "`CH`, `NX` and `XX`."}}
	return d
}

func geoadd(c *command.Ctx) {
	var o zset.Conditions
	i := 2
words:
	for ; i < len(c.Args); i++ {
		switch a := c.Args[i]; {
		case command.Is(a, "nx"):
			o.NX = true
		case command.Is(a, "xx"):
			o.XX = true
		case command.Is(a, "ch"):
			o.CH = true
		default:
			break words
		}
	}
	places := c.Args[i:]
	if len(places)%3 != 0 || o.NX && o.XX {
		c.W.Error(command.ErrSyntax)
		return
	}
	var room [16]float64
	scores := room[:0]
	for j := i; j < len(c.Args); j += 3 {
		lon, lat, ok := parsePosition(c, j)
		if !ok {
			return
		}
		scores = append(scores, scoreOf(lon, lat))
	}
	if len(scores) == 0 { // as ZADD has it
		c.W.Error(command.ErrSyntax)
		return
	}
	zset.Add(c, scores, func(n int) []byte { return places[3*n+2] }, o)
}

func geoposCommand() *command.Descriptor {
	return describe("geopos", "3.2.0", -2, func(c *command.Ctx) {
		eachMember(c, func(score float64, there bool) {
			if !there {
				c.W.NullArray()
				return
			}
			writePosition(c, score)
		})
	}, "Returns the longitudes and latitudes of members", "O(N) where N is the number of members asked for", membersArg)
}

func geohashCommand() *command.Descriptor {
	return describe("geohash", "3.2.0", -2, func(c *command.Ctx) {
		var buf [11]byte
		eachMember(c, func(score float64, there bool) {
			if !there {
				c.W.Null()
				return
			}
			c.W.Bulk(appendHash(buf[:0], score))
		})
	}, "Returns the positions of members as geohashes", perN, membersArg)
}

// eachMember replies an array; f writes what there is to say of each member that the request names.
func eachMember(c *command.Ctx, f func(score float64, there bool)) {
	k := &c.Keys[0]
	r, ok := c.FindTyped(k, keyspace.ZSet)
	if !ok {
		return
	}
	c.W.Array(len(c.Args) - 2)
	for _, m := range c.Args[2:] {
		if r == 0 {
			f(0, false)
		} else {
			f(value.Score(k.Shard, r, m))
		}
	}
}

func writePosition(c *command.Ctx, score float64) {
	lon, lat := position(score)
	c.W.Array(2)
	writeDegrees(c, lon)
	writeDegrees(c, lat)
}

// writeDegrees replies a number with up to 17 decimals.
func writeDegrees(c *command.Ctx, f float64) {
	var a [40]byte
	b := strconv.AppendFloat(a[:0], f, 'f', 17, 64)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	if b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	if c.W.RESP3 {
		c.W.B = append(append(append(c.W.B, ','), b...), '\r', '\n')
	} else {
		c.W.Bulk(b)
	}
}

func geodistCommand() *command.Descriptor {
	return describe("geodist", "3.2.0", -4, geodist, "Returns the distance between two members", "O(log(N)) where N is the number of members",
		arg("member1", "string"), arg("member2", "string"), unitArg(command.Optional))
}

func geodist(c *command.Ctx) {
	unit := 1.0
	if len(c.Args) == 5 {
		var ok bool
		if unit, ok = parseUnit(c, c.Args[4]); !ok {
			return
		}
	} else if len(c.Args) > 5 {
		c.W.Error(command.ErrSyntax)
		return
	}
	k := &c.Keys[0]
	r, ok := c.FindTyped(k, keyspace.ZSet)
	if !ok {
		return
	}
	var a, b float64
	if ok = r != 0; ok {
		a, ok = value.Score(k.Shard, r, c.Args[2])
	}
	if ok {
		b, ok = value.Score(k.Shard, r, c.Args[3])
	}
	if !ok {
		c.W.Null()
		return
	}
	from := pointAt(position(a))
	writeDistance(c, from.distance(position(b))/unit)
}

// writeDistance replies a distance with four decimals.
func writeDistance(c *command.Ctx, d float64) {
	var a [64]byte
	c.W.Bulk(strconv.AppendFloat(a[:0], d, 'f', 4, 64))
}
