package engine

import "tidemark/engine/command"

// Gates refuse commands for what the server is just now, one bit each, so that the path of a command pays one load for all of them.
const (
	gateLoading uint32 = 1 << iota // the data are being loaded
)

// setGate closes or opens a gate. Any goroutine; commands see it at once, those that were let in before go on.
func (s *Server) setGate(gate uint32, closed bool) {
	if closed {
		s.gates.Or(gate)
	} else {
		s.gates.And(^gate)
	}
}

// gateRefusal is the error of a command, or of a transaction: any has the flags that one of its commands has, all those that every one has.
func gateRefusal(gates uint32, any, all command.Flags) string {
	if gates&gateLoading != 0 && all&command.Loading == 0 {
		return errLoading
	}
	return ""
}
