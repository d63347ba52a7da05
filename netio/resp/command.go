package resp

import "math"

// replay has no limits but the format's own: what is in a log was accepted once.
var replay = Parser{MaxBulk: math.MaxInt64 >> 1}

// ParseCommand takes one multibulk command off buf, as a log or a replication stream
// holds it. Empty lines in front (filler) are skipped and counted in n. When
// buf ends before the command does, args is empty, err nil, and n counts the filler alone. The arguments are appended to args[:0] and are views into
// buf. A line that is neither empty nor starts with '*' is ErrNotCommand.
func ParseCommand(buf []byte, args [][]byte) (n int, out [][]byte, err error) {
	skip := 0
	for skip < len(buf) {
		switch buf[skip] {
		case '*':
			n, out, err = replay.multibulk(buf[skip:], args[:0])
			if n == 0 || err != nil {
				return skip, args[:0], err
			}
			if len(out) == 0 {
				skip += n
				continue
			}
			return skip + n, out, nil
		case '\n':
			skip++
		case '\r':
			if skip+1 == len(buf) {
				return skip, args[:0], nil
			}
			if buf[skip+1] != '\n' {
				return skip, args[:0], ErrNotCommand
			}
			skip += 2
		default:
			return skip, args[:0], ErrNotCommand
		}
	}
	return skip, args[:0], nil
}

// ResumeCommand goes on with a command that ParseCommand found incomplete at the front of buf, whose filler has been taken off: n is its length
// once it is there, and 0 before; then t.Need says how long buf must become at least. t, which begins reset, remembers how far it is.
func ResumeCommand(t *Partial, buf []byte) (n int, err error) {
	n, _, _, err = replay.Resume(t, buf, nil)
	return n, err
}
