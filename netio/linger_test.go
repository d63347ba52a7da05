package netio

import (
	"strings"
	"testing"
)

// TestLinger: what has been replied before a request that is waited for leaves together with its reply, but does not wait for that for long.
func TestLinger(t *testing.T) {
	h := newBook()
	lingered := false // the loop's
	h.custom = func(c *Conn, r *Request) bool {
		switch string(r.Args[0]) {
		case "SOON", "LATE":
			c.Hold()
			c.Linger()
			if string(r.Args[0]) == "SOON" {
				c.Post(func(c *Conn) {
					lingered = lingered || c.unsent() > 0
					c.W.Simple("soon")
					c.Release()
					c.Flush()
				})
			}
		case "LINGERED":
			c.W.Simple(map[bool]string{true: "yes", false: "no"}[lingered])
		default:
			return false
		}
		return true
	}
	s := serve(t, Config{}, h)
	c := dial(t, s)
	for range 100 { // a turn may last longer than a reply lingers
		c.send(t, request("ECHO", "a")+request("SOON"))
		c.want(t, "$a")
		c.want(t, "+soon")
		if c.do(t, "LINGERED") == "+yes" {
			break
		}
	}
	if got := c.do(t, "LINGERED"); got != "+yes" {
		t.Error("a reply leaves at once though its connection lingers")
	}
	big := strings.Repeat("x", 2*outBufBytes)
	for range 3 {
		slow := dial(t, s)
		held := h.conn(t, slow)
		slow.send(t, request("ECHO", "a")+request("LATE"))
		slow.want(t, "$a")
		held.Post(func(c *Conn) { c.Release() })
		slow.send(t, request("ECHO", "b")+request("ECHO", big)+request("LATE"))
		slow.want(t, "$b")
		slow.want(t, "$"+big)
	}
}
