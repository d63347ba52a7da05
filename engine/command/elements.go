package command

// Elements appends the arguments of a request that name elements of its only key (Descriptor.SoleKey), fields or members, to out, as far as out has
// room. Where they stand follows from Args, with every option taken to be absent: it is for looking ahead only, where a wrong guess does no harm.
func (d *Descriptor) Elements(args, out [][]byte) [][]byte {
	if d.elemAt == 0 {
		return out
	}
	for i := d.elemAt; i < len(args) && len(out) < cap(out); i += d.elemStep {
		out = append(out, args[i])
		if d.elemStep == 0 {
			break
		}
	}
	return out
}

// findElements looks for the first of args that names an element. They begin at argument at of a request; next is where they end.
func (d *Descriptor) findElements(args []Arg, at int) (next int, found bool) {
	for i := range args {
		a := &args[i]
		element := (a.Name == "field" || a.Name == "member") && a.Type == "string"
		if a.Flags&Optional != 0 && !element {
			continue
		}
		if a.Token != "" && a.Type != "pure-token" {
			at++
		}
		step := 1
		if a.Type == "block" {
			next, found = d.findElements(a.Args, at)
			step = len(a.Args)
		} else {
			next, found = at+1, element
			if found {
				d.elemAt = at
			}
		}
		if found {
			if a.Flags&Multiple != 0 {
				d.elemStep = step
			}
			return next, true
		}
		at = next
	}
	return at, false
}
