package servertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Timeout bounds every read and write of a Client.
const Timeout = 20 * time.Second

// Client is one connection to a server. Not safe for concurrent use.
type Client struct {
	conn    net.Conn
	r       *bufio.Reader
	out     []byte
	timeout time.Duration
}

// Dial connects to "host:port", or to a unix socket when addr begins with '/'.
func Dial(addr string) (*Client, error) {
	network := "tcp"
	if addr != "" && addr[0] == '/' {
		network = "unix"
	}
	conn, err := net.DialTimeout(network, addr, Timeout)
	if err != nil {
		return nil, err
	}
	return NewClient(conn), nil
}

// NewClient speaks on a connection that stands, and owns it from now on.
func NewClient(conn net.Conn) *Client {
	return &Client{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), timeout: Timeout}
}

// SetTimeout replaces Timeout for this client.
func (c *Client) SetTimeout(d time.Duration) { c.timeout = d }

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// NetConn returns the connection below, for tests that misbehave on purpose.
func (c *Client) NetConn() net.Conn { return c.conn }

// AppendCommand appends the command in the protocol's array form to b.
func AppendCommand(b []byte, args ...string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(args)), 10)
	b = append(b, '\r', '\n')
	for _, a := range args {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(a)), 10)
		b = append(b, '\r', '\n')
		b = append(b, a...)
		b = append(b, '\r', '\n')
	}
	return b
}

// Queue adds a command to what Flush will send.
func (c *Client) Queue(args ...string) { c.out = AppendCommand(c.out, args...) }

// Flush sends what was queued in one write.
func (c *Client) Flush() error {
	err := c.SendRaw(c.out)
	c.out = c.out[:0]
	return err
}

// SendRaw sends bytes as they are.
func (c *Client) SendRaw(p []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(p)
	return err
}

// Do sends one command and returns its reply. The error is about the
// connection; an error reply of the server is a Reply.
func (c *Client) Do(args ...string) (Reply, error) {
	c.Queue(args...)
	if err := c.Flush(); err != nil {
		return Reply{}, err
	}
	return c.Receive()
}

// Receive reads one reply.
func (c *Client) Receive() (Reply, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return Reply{}, err
	}
	return ReadReply(c.r)
}

// Buffered reports whether bytes of a further reply have already arrived.
func (c *Client) Buffered() bool { return c.r.Buffered() > 0 }

// Silent reports whether nothing arrives for d. What arrives stays readable.
func (c *Client) Silent(d time.Duration) bool {
	if c.r.Buffered() > 0 {
		return false
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return false
	}
	_, err := c.r.Peek(1)
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Closed waits for the server to close the connection and reports whether it
// did, within Timeout, without sending anything more.
func (c *Client) Closed() bool {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return true
	}
	_, err := c.r.Peek(1)
	var ne net.Error
	return err != nil && (!errors.As(err, &ne) || !ne.Timeout())
}

// ReadReply parses one RESP2 or RESP3 value. Attributes are dropped.
func ReadReply(r *bufio.Reader) (Reply, error) {
	line, err := readLine(r)
	if err != nil {
		return Reply{}, err
	}
	if len(line) == 0 {
		return Reply{}, errors.New("protocol: empty line where a reply was expected")
	}
	kind, rest := Kind(line[0]), string(line[1:])
	switch kind {
	case Simple, Error, Bool, Double, BigNumber:
		return Reply{Kind: kind, Str: rest}, nil
	case Null:
		return Reply{Kind: Null}, nil
	case Integer:
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			return Reply{}, fmt.Errorf("protocol: integer %q: %w", rest, err)
		}
		return Reply{Kind: Integer, Int: n, Str: rest}, nil
	case Bulk, Verbatim, BlobError:
		n, err := strconv.Atoi(rest)
		if err != nil || n < -1 || n > 1<<30 {
			return Reply{}, fmt.Errorf("protocol: length %q", rest)
		}
		if n == -1 {
			return Reply{Kind: Null}, nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return Reply{}, err
		}
		if b[n] != '\r' || b[n+1] != '\n' {
			return Reply{}, fmt.Errorf("protocol: bulk of %d bytes does not end in CRLF", n)
		}
		return Reply{Kind: kind, Str: string(b[:n])}, nil
	case Array, Set, Push, Map, '|':
		n, err := strconv.Atoi(rest)
		if err != nil || n < -1 || n > 1<<24 {
			return Reply{}, fmt.Errorf("protocol: length %q", rest)
		}
		if n == -1 {
			return Reply{Kind: NullArray}, nil
		}
		if kind == Map || kind == '|' {
			n *= 2
		}
		elems := make([]Reply, n)
		for i := range elems {
			if elems[i], err = ReadReply(r); err != nil {
				return Reply{}, err
			}
		}
		if kind == '|' {
			return ReadReply(r)
		}
		return Reply{Kind: kind, Elems: elems}, nil
	}
	return Reply{}, fmt.Errorf("protocol: reply begins with %q", line)
}

func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		full := append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = r.ReadSlice('\n')
			full = append(full, line...)
		}
		line = full
	}
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("protocol: line %q does not end in CRLF", line)
	}
	return line[:len(line)-2], nil
}
