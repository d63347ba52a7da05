package geo

import "math"

// A position is kept as a score: 52 bits, of latitude and longitude in turn, longitude first, each cut into 2^26 equal steps of its range.
// Fewer steps name a cell: an area whose positions share the higher bits, and so are a range of scores.

const (
	maxSteps = 26

	// What Web Mercator can show.
	minLon, maxLon = -180.0, 180.0
	minLat, maxLat = -85.05112878, 85.05112878
)

// A cell is an area of 1/2^steps of the longitudes by 1/2^steps of the latitudes. One at the end of a range, whose index is 2^steps, lies beyond.
type cell struct {
	lon, lat uint32
	steps    uint // 0: no cell
}

// spread puts the bits of v at every second place.
func spread(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

// gather is the reverse of spread; it ignores the other bits.
func gather(x uint64) uint32 {
	x &= 0x5555555555555555
	x = (x | x>>1) & 0x3333333333333333
	x = (x | x>>2) & 0x0f0f0f0f0f0f0f0f
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// bits is the cell's part of a score.
func (c cell) bits() uint64 { return spread(c.lat) | spread(c.lon)<<1 }

// scores is the range of scores within the cell, hi not included.
func (c cell) scores() (lo, hi float64) {
	shift := 2 * (maxSteps - c.steps)
	b := c.bits()
	return float64(b << shift), float64((b + 1) << shift)
}

// cellAt is the cell of a position.
func cellAt(lon, lat float64, steps uint) cell { return cellIn(lon, lat, minLat, maxLat, steps) }

// cellIn is cellAt where latitudes have another range.
func cellIn(lon, lat, low, high float64, steps uint) cell {
	n := float64(uint64(1) << steps)
	return cell{uint32((lon - minLon) / (maxLon - minLon) * n), uint32((lat - low) / (high - low) * n), steps}
}

// neighbour is the cell so many further east and north; beyond an end it goes on at the other.
func (c cell) neighbour(east, north int) cell {
	mask := uint32(1)<<c.steps - 1
	if east != 0 {
		c.lon = (c.lon + uint32(east)) & mask
	}
	if north != 0 {
		c.lat = (c.lat + uint32(north)) & mask
	}
	return c
}

// An area is bounded by degrees.
type area struct{ west, south, east, north float64 }

func (c cell) area() area {
	n := float64(uint64(1) << c.steps)
	at := func(i float64, low, high float64) float64 { return low + float64(i/n*(high-low)) }
	return area{
		west: at(float64(c.lon), minLon, maxLon), east: at(float64(c.lon)+1, minLon, maxLon),
		south: at(float64(c.lat), minLat, maxLat), north: at(float64(c.lat)+1, minLat, maxLat),
	}
}

// scoreOf is the score of a position.
func scoreOf(lon, lat float64) float64 { return float64(cellAt(lon, lat, maxSteps).bits()) }

// position is the middle of the cell that a score names, in degrees. Any score gives one.
func position(score float64) (lon, lat float64) {
	b := scoreBits(score)
	a := cell{gather(b >> 1), gather(b), maxSteps}.area()
	return max(minLon, min(maxLon, (a.west+a.east)/2)), max(minLat, min(maxLat, (a.south+a.north)/2))
}

// scoreBits turns a score into bits, those that are no position's as redis-server does on amd64.
func scoreBits(score float64) uint64 {
	const top = 1 << 63
	switch {
	case score >= top && score < 2*top:
		return uint64(int64(score-top)) ^ top
	case score >= 2*top:
		return 0
	case score < -top || score != score:
		return top
	}
	return uint64(int64(score))
}

const alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"

// appendHash appends the geohash that other systems have for a position: latitudes range to the poles, and of the 55 bits of its eleven
// letters the last three are zero.
func appendHash(b []byte, score float64) []byte {
	lon, lat := position(score)
	bits := cellIn(lon, lat, -90, 90, maxSteps).bits()
	for i := 1; i <= 10; i++ {
		b = append(b, alphabet[bits>>(2*maxSteps-5*i)&31])
	}
	return append(b, '0')
}

// earthRadius is in m.
const earthRadius = 6372797.560856

func radians(deg float64) float64 { return deg * (math.Pi / 180) }
func degrees(rad float64) float64 { return rad / (math.Pi / 180) }

// A point is a position that distances are measured from.
type point struct {
	lon, lat       float64 // degrees
	lonRad, latRad float64
	cosLat         float64
}

func pointAt(lon, lat float64) point {
	p := point{lon: lon, lat: lat, lonRad: radians(lon), latRad: radians(lat)}
	p.cosLat = cos(p.latRad)
	return p
}

// distance is in m, over a sphere.
func (p *point) distance(lon, lat float64) float64 {
	latRad := radians(lat)
	h, flat := p.haversine(lon, latRad)
	if flat {
		return p.northward(latRad)
	}
	return arc(h)
}

// northward is the distance to a latitude.
func (p *point) northward(latRad float64) float64 { return earthRadius * math.Abs(latRad-p.latRad) }

// haversine is sin² of half the angle between two positions. flat: they have the same longitude, and it was not computed.
func (p *point) haversine(lon, latRad float64) (h float64, flat bool) {
	v := sin((radians(lon) - p.lonRad) / 2)
	if v == 0 {
		return 0, true
	}
	u := sin((latRad - p.latRad) / 2)
	return float64(u*u) + float64(p.cosLat*cos(latRad)*v*v), false
}

// arc is the distance in m that a haversine stands for.
func arc(h float64) float64 { return 2 * earthRadius * asin(math.Sqrt(h)) }
