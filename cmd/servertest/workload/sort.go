package workload

// sorts makes SORT. Texts to sort by (BY with ALPHA) are left out, as Redis leaves the order open where they are the same; and so is what STORE
// makes of them, which would be another list on each side.
func (g *Generator) sorts(o *Op) {
	o.set(g.pick("SORT", "SORT", "SORT_RO"), g.key())
	alpha := g.chance(50) // most collections have elements that are no numbers
	if alpha {
		o.add("ALPHA")
	}
	if g.chance(40) {
		if alpha || g.chance(20) {
			o.add("BY", "nosort")
			o.Unordered = true // it may be a set
		} else {
			o.add(g.pick("BY", "by"), g.pick("k*", "h*->f1", "h*->f*", "*"))
		}
	}
	for g.chance(30) {
		if alpha && !o.Unordered { // see the differential's collated
			o.add("GET", "#")
		} else {
			o.add("GET", g.pick("#", "k*", "h*->f1", "h*->f2", "*", "k1"))
		}
	}
	if !o.Unordered && g.chance(40) {
		o.add("LIMIT", g.number(6), g.pick("0", "1", "5", "100", "-1"))
	}
	if g.chance(30) {
		o.add(g.pick("DESC", "ASC", "desc"))
	}
	if o.Args[0] == "SORT" && g.chance(30) {
		o.add("STORE", g.key())
	}
}
