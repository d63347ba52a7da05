package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ExpandTitle fills in proc-title-template. Spaces at either end, which empty variables leave, are cut.
func ExpandTitle(template string, vars map[string]string) string {
	pairs := make([]string, 0, 2*len(vars))
	for name, value := range vars {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.TrimSpace(strings.NewReplacer(pairs...).Replace(template))
}

var title struct {
	sync.Mutex
	page []byte // where the kernel finds the title; mapped once, never freed
}

const maxTitle = 4096

// SetTitle makes ps and top show s for this process. Overwriting the argument vector, as C programs do, would leave a Go program no more
// room than its arguments had (its environment strings are in use), so the kernel is told to look elsewhere: prctl(PR_SET_MM_MAP).
// That is only cosmetics; a caller may ignore the error, which says that the kernel was built without it or that a sandbox forbids it.
func SetTitle(s string) error {
	title.Lock()
	defer title.Unlock()
	if title.page == nil {
		p, err := unix.Mmap(-1, 0, maxTitle, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return fmt.Errorf("process title: %w", err)
		}
		title.page = p
	}
	n := copy(title.page[:maxTitle-1], s)
	clear(title.page[n:])
	m, err := memoryMap()
	if err != nil {
		return fmt.Errorf("process title: %w", err)
	}
	m.argStart = uint64(uintptr(unsafe.Pointer(&title.page[0])))
	m.argEnd = m.argStart + uint64(n) + 1
	if err := unix.Prctl(unix.PR_SET_MM, unix.PR_SET_MM_MAP, uintptr(unsafe.Pointer(m)), unsafe.Sizeof(*m), 0); err != nil {
		return fmt.Errorf("process title: prctl: %w", err)
	}
	return nil
}

// mmMap is the kernel's struct prctl_mm_map.
type mmMap struct {
	startCode, endCode, startData, endData, startBrk, brk, startStack,
	argStart, argEnd, envStart, envEnd uint64
	auxv     uint64
	auxvSize uint32
	exeFD    uint32
}

// memoryMap is how things are now: fields of /proc/self/stat (proc_pid_stat(5)).
func memoryMap() (*mmMap, error) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return nil, err
	}
	// The second field is the name, in parentheses, and may hold anything.
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	m := &mmMap{exeFD: ^uint32(0)}
	for _, want := range []struct {
		field int // as numbered in the manual, from 1
		to    *uint64
	}{
		{26, &m.startCode}, {27, &m.endCode}, {28, &m.startStack}, {45, &m.startData}, {46, &m.endData},
		{47, &m.startBrk}, {48, &m.argStart}, {49, &m.argEnd}, {50, &m.envStart}, {51, &m.envEnd},
	} {
		i := want.field - 3
		if i >= len(f) {
			return nil, fmt.Errorf("/proc/self/stat has only %d fields", len(f)+2)
		}
		if *want.to, err = strconv.ParseUint(f[i], 10, 64); err != nil {
			return nil, fmt.Errorf("/proc/self/stat, field %d: %w", want.field, err)
		}
	}
	brk, _, errno := unix.Syscall(unix.SYS_BRK, 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	m.brk = uint64(brk)
	return m, nil
}
