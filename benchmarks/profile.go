package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"tidemark/cmd/servertest"
)

const profileSeconds = 90

// profile writes a CPU profile of a server that executes what the groups strings, everysec, types and sort send, everything as often as the rest, to a file: what go build
// optimises cmd/tidemark by when the file is named default.pgo (https://go.dev/doc/pgo).
func (b *bench) profile(path string) error {
	port, err := servertest.FreePort()
	if err != nil {
		return err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	s, err := b.start(b.tidemark, serverCPU, nil, "--appendonly", "yes", "--appendfsync", "everysec", "--pprof-addr", addr)
	if err != nil {
		return err
	}
	defer drop(s)
	if err := fillTypes(s); err != nil {
		return err
	}
	if err := fillSort(s); err != nil {
		return err
	}
	taken := make(chan error, 1)
	go func() {
		p, err := download(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, profileSeconds))
		if err == nil {
			p, err = withoutPaths(p)
		}
		if err == nil {
			err = os.WriteFile(path, p, 0o644)
		}
		taken <- err
	}()
	workloads := slices.Concat(stringWorkloads(), typeWorkloads(), sortWorkloads())
	for i := 0; ; i++ {
		select {
		case err := <-taken:
			if err == nil && i < len(workloads) {
				err = fmt.Errorf("only %d of %d workloads ran in %d s", i, len(workloads), profileSeconds)
			}
			return err
		default:
		}
		w := workloads[i%len(workloads)]
		if w.ops > 1000 { // SORT takes some ms
			w.ops = 100_000
		}
		if _, err := b.load(s, clientCPU, w); err != nil {
			return err
		}
	}
}

// download returns what an address answers.
func download(url string) ([]byte, error) {
	c := http.Client{Timeout: (profileSeconds + 30) * time.Second}
	resp, err := c.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.200s", url, resp.Status, body)
	}
	return body, err
}

// withoutPaths takes the directories out of a profile, which differ from one machine to the next and tell the compiler nothing: it goes by the names of
// functions. A profile is a compressed protobuf message whose field 6 is its table of strings (https://github.com/google/pprof/blob/main/proto/profile.proto).
func withoutPaths(zipped []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	p, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	const ofVarint, ofBytes, stringTable = 0, 2, 6
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for len(p) > 0 {
		key, n := binary.Uvarint(p)
		value, m := binary.Uvarint(p[max(n, 0):])
		end := n + m
		if key&7 == ofBytes {
			end += int(value)
		}
		if n <= 0 || m <= 0 || end < 0 || end > len(p) || key&7 != ofVarint && key&7 != ofBytes {
			return nil, fmt.Errorf("not a profile: field %#x of type %d, %d bytes before its end", key>>3, key&7, len(p))
		}
		field := p[:end]
		if text := field[n+m:]; key == stringTable<<3|ofBytes && len(text) > 0 && text[0] == '/' {
			name := text[bytes.LastIndexByte(text, '/')+1:]
			field = append(binary.AppendUvarint(binary.AppendUvarint(nil, key), uint64(len(name))), name...)
		}
		w.Write(field)
		p = p[end:]
	}
	err = w.Close()
	return out.Bytes(), err
}
