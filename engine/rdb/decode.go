package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"tidemark/engine/keyspace"
)

// Kind says what an Item is.
type Kind uint8

// The kinds of items. Opcodes without data of interest (module and slot information) are skipped.
const (
	KindEntry    Kind = iota // a key with its value
	KindAux                  // an auxiliary field: Key and Value
	KindResize               // a size hint: DB, Keys, Expires
	KindFunction             // the source of a function library: Value
)

// Item is what Next found. Key and Value are valid until the next call of Next; Elems are the caller's. A large collection comes
// in several Items, with the same Key.
type Item struct {
	Kind         Kind
	DB           int
	Offset       int64 // in the file, where the item begins
	Key          []byte
	Value        []byte
	Elems        [][]byte
	Type         keyspace.Type
	Form         Form
	FieldsExpire bool   // see Form
	First        bool   // of KindEntry: the value's first part
	Last         bool   // and its last
	ExpireAt     int64  // Unix ms, or keyspace.NoExpire
	Idle         int64  // seconds without access, or -1
	Freq         int    // LFU counter, or -1
	Keys         uint64 // of KindResize; a claim
	Expires      uint64
}

const (
	readAhead  = 256 << 10
	firstChunk = 1 << 20 // of a string longer than the buffer; doubles as its bytes arrive
)

// Decoder reads an RDB file from a stream. Its memory is bounded by the longest string that really is in the
// input (while it is read, twice its plain or 88 times its compressed size), whatever lengths the input claims.
type Decoder struct {
	r     io.Reader
	buf   []byte // buf[pos:fill] is read and not decoded
	pos   int
	fill  int
	base  int64 // file offset of buf[0]
	crc   uint64
	crcAt int // buf[:crcAt] is in crc

	version   int
	db        int
	started   bool
	fixed     bool   // buf is all there is, and not ours to write to
	viewed    bool   // the latest string is a view of buf
	key       []byte // strings that are not views of buf
	hold      []byte
	spare     []byte
	left      uint64 // elements, or nodes, of the present value that are not read
	op        byte   // its type
	earliest  int64  // expiry of its fields
	open      Item   // what its parts have in common
	streaming streamState
	deep      bool  // look for elements that stand twice
	start     int64 // of the current item
	err       error
}

// NewDecoder returns a decoder that begins with the magic. It reads ahead: see Buffered.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{r: r} }

// Version returns the file's version, once Next was called.
func (d *Decoder) Version() int { return d.version }

// Offset returns the number of bytes decoded. After io.EOF that is the length of the RDB part.
func (d *Decoder) Offset() int64 { return d.base + int64(d.pos) }

// Buffered returns what was read ahead, valid until the next call. After io.EOF it is what follows the RDB (an AOF with an RDB
// preamble).
func (d *Decoder) Buffered() []byte { return d.buf[d.pos:d.fill] }

// errShort is the end of the input inside an item.
var errShort = errors.New("the file ends here, it is cut short")

func (d *Decoder) fail(format string, args ...any) error {
	return &FormatError{Offset: d.start, Reason: fmt.Sprintf(format, args...)}
}

// more makes at least n bytes stand at buf[pos:]; n is at most half the buffer.
func (d *Decoder) more(n int) error {
	if d.fixed {
		return errShort
	}
	if d.buf == nil {
		d.buf = make([]byte, readAhead)
	}
	d.sum()
	copy(d.buf, d.buf[d.pos:d.fill])
	d.base += int64(d.pos)
	d.fill -= d.pos
	d.pos, d.crcAt = 0, 0
	for idle := 0; d.fill < n; {
		got, err := d.r.Read(d.buf[d.fill:])
		d.fill += got
		if d.fill >= n {
			return nil
		}
		if err == io.EOF {
			return errShort
		}
		if err != nil {
			return err
		}
		if got > 0 {
			idle = 0
		} else if idle++; idle == 100 {
			return io.ErrNoProgress
		}
	}
	return nil
}

// sum brings the checksum up to what is decoded.
func (d *Decoder) sum() {
	d.crc = CRC64(d.crc, d.buf[d.crcAt:d.pos])
	d.crcAt = d.pos
}

func (d *Decoder) need(n int) error {
	if d.fill-d.pos >= n {
		return nil
	}
	return d.more(n)
}

func (d *Decoder) byte() (byte, error) {
	if d.pos == d.fill {
		if err := d.more(1); err != nil {
			return 0, err
		}
	}
	b := d.buf[d.pos]
	d.pos++
	return b, nil
}

// length reads a length. For the encoded strings special is true and n the kind.
func (d *Decoder) length() (n uint64, special bool, err error) {
	b, err := d.byte()
	if err != nil {
		return 0, false, err
	}
	switch b >> 6 {
	case 0:
		return uint64(b), false, nil
	case 1:
		c, err := d.byte()
		return uint64(b&0x3f)<<8 | uint64(c), false, err
	case 3:
		return uint64(b), true, nil
	}
	switch b {
	case 0x80:
		if err := d.need(4); err != nil {
			return 0, false, err
		}
		n = uint64(binary.BigEndian.Uint32(d.buf[d.pos:]))
		d.pos += 4
	case 0x81:
		if err := d.need(8); err != nil {
			return 0, false, err
		}
		n = binary.BigEndian.Uint64(d.buf[d.pos:])
		d.pos += 8
	default:
		return 0, false, d.fail("invalid length 0x%02x", b)
	}
	return n, false, nil
}

func (d *Decoder) plainLength() (uint64, error) {
	n, special, err := d.length()
	if err == nil && special {
		err = d.fail("a string encoding 0x%02x stands where a length is due", n)
	}
	return n, err
}

// string reads a string. It is a view of the buffer if it fits there, otherwise it is put into hold.
func (d *Decoder) string(hold *[]byte) ([]byte, error) {
	n, special, err := d.length()
	if err != nil {
		return nil, err
	}
	if !special {
		return d.raw(n, hold)
	}
	var v int64
	switch n {
	case encInt8:
		b, err := d.byte()
		if err != nil {
			return nil, err
		}
		v = int64(int8(b))
	case encInt16:
		if err := d.need(2); err != nil {
			return nil, err
		}
		v = int64(int16(binary.LittleEndian.Uint16(d.buf[d.pos:])))
		d.pos += 2
	case encInt32:
		if err := d.need(4); err != nil {
			return nil, err
		}
		v = int64(int32(binary.LittleEndian.Uint32(d.buf[d.pos:])))
		d.pos += 4
	case encLZF:
		return d.compressed(hold)
	default:
		return nil, d.fail("invalid string encoding 0x%02x", n)
	}
	d.viewed = false
	*hold = strconv.AppendInt((*hold)[:0], v, 10)
	return *hold, nil
}

// raw reads n bytes.
func (d *Decoder) raw(n uint64, hold *[]byte) ([]byte, error) {
	if n <= uint64(d.fill-d.pos) {
		v := d.buf[d.pos : d.pos+int(n) : d.pos+int(n)]
		d.pos += int(n)
		d.viewed = true
		return v, nil
	}
	if d.fixed {
		return nil, errShort
	}
	d.viewed = false
	*hold = (*hold)[:0]
	return d.long(n, hold)
}

// long gathers n bytes in hold, whose room grows with what really arrives.
func (d *Decoder) long(n uint64, hold *[]byte) ([]byte, error) {
	out := *hold
	for uint64(len(out)) < n {
		left := n - uint64(len(out))
		if d.pos < d.fill {
			k := min(uint64(d.fill-d.pos), left)
			out = append(out, d.buf[d.pos:d.pos+int(k)]...)
			d.pos += int(k)
			continue
		}
		if left < readAhead {
			if err := d.more(1); err != nil {
				return nil, err
			}
			continue
		}
		// Straight into place, past the buffer.
		d.sum()
		at := len(out)
		step := int(min(left, uint64(max(firstChunk, at))))
		if cap(out)-at < step {
			grown := make([]byte, at, at+step)
			copy(grown, out)
			out = grown
		}
		got, err := io.ReadFull(d.r, out[at:at+step])
		out = out[:at+got]
		d.crc = CRC64(d.crc, out[at:])
		d.base += int64(got)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, errShort
		}
		if err != nil {
			return nil, err
		}
	}
	*hold = out
	return out, nil
}

func (d *Decoder) compressed(hold *[]byte) ([]byte, error) {
	packed, err := d.plainLength()
	if err != nil {
		return nil, err
	}
	n, err := d.plainLength()
	if err != nil {
		return nil, err
	}
	if packed > 1<<40 || n > packed*lzfMaxRatio {
		return nil, d.fail("%d compressed bytes cannot expand to %d", packed, n)
	}
	src, err := d.raw(packed, &d.spare)
	if err != nil {
		return nil, err
	}
	out := (*hold)[:0]
	if uint64(cap(out)) < n {
		out = make([]byte, 0, n)
	}
	d.viewed = false
	out, ok := expandLZF(out, src, int(n))
	*hold = out
	if !ok {
		return nil, d.fail("damaged LZF data (%d bytes for %d)", packed, n)
	}
	return out, nil
}

// Next returns the next item, or io.EOF after the footer was verified. Other errors are an *UnsupportedError, a *FormatError, or the
// reader's own, and come again on every further call.
func (d *Decoder) Next() (Item, error) {
	if d.err != nil {
		return Item{}, d.err
	}
	if d.spare != nil && cap(d.spare)+cap(d.key)+cap(d.hold) > 8<<20 {
		d.spare, d.key, d.hold = nil, nil, nil // one giant must not be kept for the rest of the file
	}
	var it Item
	err := d.next(&it)
	if err != nil {
		if err == errShort {
			err = &FormatError{Offset: d.Offset(), Reason: err.Error()}
		}
		d.err = err
		return Item{}, err
	}
	return it, nil
}

func (d *Decoder) header() error {
	if err := d.need(9); err != nil {
		if err == errShort {
			return d.fail("this is not an RDB file: it has fewer than 9 bytes")
		}
		return err
	}
	h := d.buf[d.pos : d.pos+9]
	v, err := strconv.ParseUint(string(h[5:]), 10, 16)
	if string(h[:5]) != magic || err != nil {
		return d.fail("this is not an RDB file: it begins with %q", h)
	}
	if v < 1 || v > MaxVersion {
		return d.fail("RDB version %d cannot be read, only 1 to %d", v, MaxVersion)
	}
	d.pos += 9
	d.version = int(v)
	d.started = true
	return nil
}

func (d *Decoder) next(it *Item) error {
	if !d.started {
		if err := d.header(); err != nil {
			return err
		}
	}
	if d.left > 0 {
		*it = d.open
		err := d.part(it)
		if err == errEmpty {
			err = d.fail("a list's node without elements")
		}
		return err
	}
	*it = Item{ExpireAt: keyspace.NoExpire, Idle: -1, Freq: -1}
	d.start = d.Offset()
	for {
		op, err := d.byte()
		if err != nil {
			return err
		}
		switch op {
		case opExpireTimeMs:
			if err := d.need(8); err != nil {
				return err
			}
			it.ExpireAt = int64(binary.LittleEndian.Uint64(d.buf[d.pos:]))
			d.pos += 8
			continue
		case opExpireTime:
			if err := d.need(4); err != nil {
				return err
			}
			it.ExpireAt = int64(int32(binary.LittleEndian.Uint32(d.buf[d.pos:]))) * 1000
			d.pos += 4
			continue
		case opIdle:
			n, err := d.plainLength()
			if err != nil {
				return err
			}
			it.Idle = int64(min(n, 1<<62))
			continue
		case opFreq:
			b, err := d.byte()
			if err != nil {
				return err
			}
			it.Freq = int(b)
			continue
		case opSelectDB:
			n, err := d.plainLength()
			if err != nil {
				return err
			}
			if n > 1<<31 {
				return d.fail("database number %d", n)
			}
			d.db = int(n)
			d.start = d.Offset()
			continue
		case opResizeDB:
			it.Kind, it.DB, it.Offset = KindResize, d.db, d.start
			if it.Keys, err = d.plainLength(); err == nil {
				it.Expires, err = d.plainLength()
			}
			return err
		case opAux:
			it.Kind, it.Offset = KindAux, d.start
			if it.Key, it.Value, err = d.pair(); err != nil {
				return err
			}
			return nil
		case opFunction2:
			it.Kind, it.Offset = KindFunction, d.start
			it.Value, err = d.string(&d.hold)
			return err
		case opFunctionOld:
			return d.fail("a function in the format of a pre-release of Redis 7")
		case opModuleAux:
			if err := d.skipModule(); err != nil {
				return err
			}
			d.start = d.Offset()
			continue
		case opSlotInfo:
			for range 3 {
				if _, err := d.plainLength(); err != nil {
					return err
				}
			}
			d.start = d.Offset()
			continue
		case opEOF:
			return d.footer()
		}
		it.DB, it.Offset = d.db, d.start
		if op == typeString {
			it.Type, it.First, it.Last = keyspace.String, true, true
			it.Key, it.Value, err = d.pair()
			return err
		}
		if it.Key, err = d.string(&d.key); err != nil {
			return err
		}
		if d.viewed {
			d.key = append(d.key[:0], it.Key...)
			it.Key = d.key
		}
		if err = d.value(op, it); err == errEmpty {
			if d.left > 0 {
				return d.fail("a list's node without elements")
			}
			*it = Item{ExpireAt: keyspace.NoExpire, Idle: -1, Freq: -1} // older servers could leave such keys behind: there is nothing in them
			d.start = d.Offset()
			continue
		}
		if err == nil && !it.Last {
			d.open = *it
			d.open.First, d.open.Value, d.open.Elems = false, nil, nil
			d.open.Key = append([]byte(nil), it.Key...)
		}
		return err
	}
}

// pair reads two strings. A refill of the buffer for the second moves the first, which is then copied out.
func (d *Decoder) pair() (a, b []byte, err error) {
	if a, err = d.string(&d.key); err != nil {
		return nil, nil, err
	}
	// Both in the buffer, plain: the common case.
	if d.fill-d.pos > 0 {
		if n := d.buf[d.pos]; n>>6 == 0 && d.fill-d.pos > int(n) {
			b = d.buf[d.pos+1 : d.pos+1+int(n)]
			d.pos += 1 + int(n)
			return a, b, nil
		}
	}
	if d.viewed {
		d.key = append(d.key[:0], a...)
		a = d.key
	}
	b, err = d.string(&d.hold)
	return a, b, err
}

// skipModule passes over the data of a module, which describe themselves.
func (d *Decoder) skipModule() error {
	if _, err := d.plainLength(); err != nil { // module id
		return err
	}
	for {
		op, err := d.plainLength()
		if err != nil {
			return err
		}
		switch op {
		case 0:
			return nil
		case 1, 2:
			_, err = d.plainLength()
		case 3:
			if err = d.need(4); err == nil {
				d.pos += 4
			}
		case 4:
			if err = d.need(8); err == nil {
				d.pos += 8
			}
		case 5:
			_, err = d.string(&d.hold)
		default:
			err = d.fail("module data with unknown opcode %d", op)
		}
		if err != nil {
			return err
		}
	}
}

func (d *Decoder) footer() error {
	if d.version < 5 {
		return io.EOF
	}
	d.sum()
	want := d.crc
	if err := d.need(8); err != nil {
		return err
	}
	have := binary.LittleEndian.Uint64(d.buf[d.pos:])
	d.pos += 8
	d.crcAt = d.pos
	if have != 0 && have != want {
		return &FormatError{Offset: d.Offset() - 8, Reason: fmt.Sprintf("checksum %016x of the file differs from %016x of its content: the file is damaged", have, want)}
	}
	return io.EOF
}
