package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// The reasons for refusing a value are Redis's own texts: clients and test suites look for them.
var (
	errBool    = errors.New("argument must be 'yes' or 'no'")
	errInteger = errors.New("argument couldn't be parsed into an integer")
	errOctal   = errors.New("argument couldn't be parsed as an octal number")
	errMemory  = errors.New("argument must be a memory value")
	errPercent = errors.New("argument must be a memory or percent value")
	errArity   = errors.New("wrong number of arguments")
)

var memoryUnits = []struct {
	name  string
	bytes uint64
}{{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"g", 1e9}, {"m", 1e6}, {"k", 1e3}, {"b", 1}, {"", 1}}

// ParseMemory reads a size such as 64mb: k, m, g are powers of 1000, kb, mb, gb of 1024, in any case. A size that no
// 64 bits hold becomes the largest one, as in Redis.
func ParseMemory(s string) (uint64, error) {
	digits := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(s)
	}
	if digits == 0 {
		s, digits = "0"+s, 1 // Redis takes no digits for none
	}
	for _, u := range memoryUnits {
		if !strings.EqualFold(s[digits:], u.name) {
			continue
		}
		n, err := strconv.ParseUint(s[:digits], 10, 64)
		if err != nil || n > math.MaxUint64/u.bytes {
			n, u.bytes = math.MaxUint64, 1
		}
		return n * u.bytes, nil
	}
	return 0, errMemory
}

// formatMemory writes a size for the configuration file, in the largest unit that loses nothing.
func formatMemory(n uint64) string {
	for _, u := range memoryUnits[:3] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatUint(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10)
}

// parseInteger reads a decimal integer in its one canonical form: no plus sign, no leading zeros, no "-0".
func parseInteger(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s {
		return 0, errInteger
	}
	return n, nil
}

func parseBool(s string) (bool, error) {
	switch {
	case strings.EqualFold(s, "yes"):
		return true, nil
	case strings.EqualFold(s, "no"):
		return false, nil
	}
	return false, errBool
}

func formatBool(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}
