package geo

import "math"

// A shape is what is searched: a circle or a box of so many m around a point.
type shape struct {
	from          point
	box           bool
	radius        float64 // of a circle
	width, height float64 // of a box, whole
	unit          float64 // m in the unit of the request

	// Haversines that are surely within the radius (or half the width), and surely not.
	within, beyond float64
}

// prepare sets what test needs.
func (s *shape) prepare() {
	reach := s.radius
	if s.box {
		reach = s.width / 2
	}
	if reach >= math.Pi*earthRadius {
		s.within, s.beyond = 0.99, 2
		return
	}
	h := math.Sin(reach / (2 * earthRadius))
	s.within, s.beyond = h*h*(1-1e-9)-1e-30, h*h*(1+1e-9)+1e-30
}

// test reports whether a position lies in the shape, and with want its distance in m.
func (s *shape) test(lon, lat float64, want bool) (dist float64, ok bool) {
	latRad := radians(lat)
	north := s.from.northward(latRad)
	if s.box {
		if north > s.height/2 || s.pastWidth(lon, latRad) {
			return 0, false
		}
		if !want {
			return 0, true
		}
		h, flat := s.from.haversine(lon, latRad)
		if flat {
			return north, true
		}
		return arc(h), true
	}
	if north > s.radius*(1+1e-9)+1e-6 { // it is no shorter to go east as well
		return 0, false
	}
	h, flat := s.from.haversine(lon, latRad)
	if flat {
		return north, !(north > s.radius)
	}
	if h > s.beyond {
		return 0, false
	}
	if !want && h < s.within {
		return 0, true
	}
	dist = arc(h)
	return dist, !(dist > s.radius)
}

// pastWidth reports whether a position is further east or west of the middle than a box reaches, along its own latitude.
func (s *shape) pastWidth(lon, latRad float64) bool {
	v := sin((radians(lon) - s.from.lonRad) / 2)
	if v == 0 {
		return false
	}
	c := cos(latRad)
	h := float64(c * c * v * v)
	if h < s.within {
		return false
	}
	return h > s.beyond || arc(h) > s.width/2
}

// bounds is an area that has the shape in it. It may reach beyond the poles.
func (s *shape) bounds() area {
	height, width := s.radius, s.radius
	if s.box {
		height, width = s.height/2, s.width/2
	}
	lat, lon := s.from.lat, s.from.lon
	north := degrees(height / earthRadius)
	// The edge that is nearer to a pole spans more degrees.
	edge := lat + north
	if lat < 0 {
		edge = lat - north
	}
	east := degrees(width / earthRadius / math.Cos(radians(edge)))
	return area{west: lon - east, east: lon + east, south: lat - north, north: lat + north}
}

// steps says how small cells may be so that nine of them have a circle of that radius in them. Cells get narrower towards the poles.
func stepsFor(radius, lat float64) uint {
	const widest = 20037726.37 // m, half the way around the equator in Web Mercator
	if radius == 0 {
		return maxSteps
	}
	steps := -1
	for ; radius < widest; radius *= 2 {
		steps++
	}
	if lat > 66 || lat < -66 {
		if steps--; lat > 80 || lat < -80 {
			steps--
		}
	}
	return uint(max(1, min(maxSteps, steps)))
}

// cells gives the cells that have the shape in them: the one in the middle and those around it, without those that it does not reach into.
func (s *shape) cells() (out [9]cell) {
	b := s.bounds()
	radius := s.radius
	if s.box {
		radius = math.Sqrt(float64(s.width/2*(s.width/2)) + float64(s.height/2*(s.height/2)))
	}
	steps := stepsFor(radius, s.from.lat)
	at := cellAt(s.from.lon, s.from.lat, steps)
	if steps > 1 && (at.neighbour(0, 1).area().north < b.north || at.neighbour(0, -1).area().south > b.south ||
		at.neighbour(1, 0).area().east < b.east || at.neighbour(-1, 0).area().west > b.west) {
		steps--
		at = cellAt(s.from.lon, s.from.lat, steps)
	}
	a := at.area()
	for i, to := range [9][2]int{{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}} {
		east, north := to[0], to[1]
		if steps >= 2 && (north < 0 && a.south < b.south || north > 0 && a.north > b.north || east < 0 && a.west < b.west || east > 0 && a.east > b.east) {
			continue
		}
		out[i] = at.neighbour(east, north)
	}
	return out
}
