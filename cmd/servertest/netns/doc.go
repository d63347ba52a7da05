// Package netns gives tests a small network of their own: hosts that are network
// namespaces, and a switch between them that loses, delays, throttles or refuses packets on demand.
//
//	host ── tun device ── switch (goroutines of the test) ── tun device ── host
//
// Each host has one address, which exists nowhere but among the hosts of its
// network, and the loopback address, on which the test talks to the servers there without
// passing the switch. What the switch does is set for each ordered pair of hosts, so a link
// can fail in one direction only. TCP is the kernel's on both ends: a cut link looks to
// the servers as it does in a machine room, down to the timers of retransmission.
//
// The kernel's own netem is not needed (many kernels lack it), and neither are programs of
// iproute2: a namespace here is what a system thread has unshared, kept alive by an open file. When the
// test ends, or is killed, the kernel removes all of it.
//
// It needs root, as CI has; New skips the test where namespaces cannot be made.
package netns
