package rdb

import "io"

const (
	batchItems = 256
	batchBytes = 64 << 10 // of keys and values copied into a batch
	batches    = 4        // in flight
)

type batch struct {
	items []Item
	data  []byte
	err   error // after the items
}

// Each decodes the rest of the file and calls f with its items, some at a time and in their order, until f or the file
// fails. Decoding, checksums and decompression run ahead on a goroutine of their own while f works; it has ended when Each returns. What the
// items refer to is valid until f returns. At the end of the file the error is nil.
func (d *Decoder) Each(f func(items []Item) error) error {
	full, free := make(chan *batch, batches), make(chan *batch, batches)
	for range batches {
		free <- &batch{items: make([]Item, 0, batchItems), data: make([]byte, 0, batchBytes)}
	}
	go func() {
		defer close(full)
		for b := range free {
			b.err = d.batch(b)
			full <- b
			if b.err != nil {
				return
			}
		}
	}()
	var err error
	for b := range full {
		if err == nil && len(b.items) > 0 {
			err = f(b.items)
		}
		if err == nil {
			err = b.err
		}
		if err != nil {
			close(free) // the decoder ends after the batches it has
			for range full {
			}
			break
		}
		free <- b
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// batch fills b with items whose strings it owns.
func (d *Decoder) batch(b *batch) error {
	b.items, b.data = b.items[:0], b.data[:0]
	for size := 0; len(b.items) < batchItems && len(b.data)+size < batchBytes; {
		it, err := d.Next()
		if err != nil {
			return err
		}
		it.Key = d.keep(b, it.Key, &d.key)
		it.Value = d.keep(b, it.Value, &d.hold)
		for _, e := range it.Elems {
			size += len(e)
		}
		b.items = append(b.items, it)
	}
	return nil
}

// keep moves a string into the batch. One that is large and not a view of the buffer is taken over from the decoder instead.
func (d *Decoder) keep(b *batch, p []byte, hold *[]byte) []byte {
	if len(p) > batchBytes && len(*hold) == len(p) && &(*hold)[0] == &p[0] {
		*hold = nil
		return p
	}
	if len(b.data)+len(p) > cap(b.data) {
		// The strings already there stay where they are.
		b.data = make([]byte, 0, max(batchBytes, len(p)))
	}
	at := len(b.data)
	b.data = append(b.data, p...)
	return b.data[at:len(b.data):len(b.data)]
}
