package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A kind is how a directive's value is read, kept and written. Where a value is kept: a directive that has an
// effect names a field of Values (its at function); one that has none keeps its value in Values.spare, so that CONFIG GET and
// REWRITE give back what was set.
type kind interface {
	// set changes v. The error is the reason alone.
	set(v *Values, d *Directive, in input) error
	// get is CONFIG GET's text.
	get(v *Values, d *Directive) string
	// lines are the arguments of each line that the directive takes in a configuration file.
	lines(v *Values, d *Directive) []string
	reset(v *Values, d *Directive)
}

// input is one line's arguments, or one value of CONFIG SET.
type input struct {
	args  []string
	first bool // the first line of this directive in this load; always so for CONFIG SET
}

func (in input) one() (string, error) {
	if len(in.args) != 1 {
		return "", errArity
	}
	return in.args[0], nil
}

func load[T any](v *Values, d *Directive, at func(*Values) *T) T {
	if at != nil {
		return *at(v)
	}
	return v.spare[d.index].(T)
}

func store[T any](v *Values, d *Directive, at func(*Values) *T, x T) {
	if at != nil {
		*at(v) = x
		return
	}
	v.spare[d.index] = x
}

// setOne reads a value of one word.
func setOne[T any](v *Values, d *Directive, in input, at func(*Values) *T, parse func(string) (T, error)) error {
	s, err := in.one()
	if err != nil {
		return err
	}
	x, err := parse(s)
	if err != nil {
		return err
	}
	store(v, d, at, x)
	return nil
}

// boolean is yes or no.
type boolean struct {
	def bool
	at  func(*Values) *bool
}

func (k boolean) set(v *Values, d *Directive, in input) error {
	return setOne(v, d, in, k.at, parseBool)
}

func (k boolean) get(v *Values, d *Directive) string     { return formatBool(load(v, d, k.at)) }
func (k boolean) lines(v *Values, d *Directive) []string { return []string{k.get(v, d)} }
func (k boolean) reset(v *Values, d *Directive)          { store(v, d, k.at, k.def) }

// integer is a decimal integer within [min, max].
type integer struct {
	def, min, max int64
	clamp         func(int64) int64 // what is stored for an accepted value
	check         func(int64) error
	at            func(*Values) *int64
}

const (
	maxInt32 = math.MaxInt32
	maxInt64 = math.MaxInt64
)

func (k integer) set(v *Values, d *Directive, in input) error {
	return setOne(v, d, in, k.at, func(s string) (int64, error) {
		x, err := parseInteger(s)
		if err != nil {
			return 0, err
		}
		return accept(x, k.min, k.max, k.check, k.clamp)
	})
}

func outOfRange(min, max int64) error {
	return fmt.Errorf("argument must be between %d and %d inclusive", min, max)
}

// accept gives what is stored for a number. check and clamp may be nil.
func accept(x, min, max int64, check func(int64) error, clamp func(int64) int64) (int64, error) {
	if x < min || x > max {
		return 0, outOfRange(min, max)
	}
	if check != nil {
		if err := check(x); err != nil {
			return 0, err
		}
	}
	if clamp != nil {
		x = clamp(x)
	}
	return x, nil
}

func (k integer) get(v *Values, d *Directive) string {
	return strconv.FormatInt(load(v, d, k.at), 10)
}
func (k integer) lines(v *Values, d *Directive) []string { return []string{k.get(v, d)} }
func (k integer) reset(v *Values, d *Directive)          { store(v, d, k.at, k.def) }

// octal is a file mode.
type octal struct {
	def, max int64
	at       func(*Values) *int64
}

func (k octal) set(v *Values, d *Directive, in input) error {
	return setOne(v, d, in, k.at, func(s string) (int64, error) {
		x, err := strconv.ParseInt(s, 8, 64)
		if err != nil {
			return 0, errOctal
		}
		if x < 0 || x > k.max {
			return 0, fmt.Errorf("argument must be between %d and %o inclusive", 0, k.max)
		}
		return x, nil
	})
}

func (k octal) get(v *Values, d *Directive) string     { return strconv.FormatInt(load(v, d, k.at), 8) }
func (k octal) lines(v *Values, d *Directive) []string { return []string{k.get(v, d)} }
func (k octal) reset(v *Values, d *Directive)          { store(v, d, k.at, k.def) }

// memory is a number of bytes, with units. max 0 means all of int64.
type memory struct {
	def, min, max int64
	clamp         func(int64) int64
	check         func(int64) error
	at            func(*Values) *int64
}

func (k memory) set(v *Values, d *Directive, in input) error {
	return setOne(v, d, in, k.at, func(s string) (int64, error) {
		n, err := ParseMemory(s)
		if err != nil {
			return 0, err
		}
		max := k.max
		if max == 0 {
			max = maxInt64
		}
		if n > math.MaxInt64 {
			return 0, outOfRange(k.min, max)
		}
		return accept(int64(n), k.min, max, k.check, k.clamp)
	})
}

func (k memory) get(v *Values, d *Directive) string { return strconv.FormatInt(load(v, d, k.at), 10) }
func (k memory) lines(v *Values, d *Directive) []string {
	return []string{formatMemory(uint64(load(v, d, k.at)))}
}
func (k memory) reset(v *Values, d *Directive) { store(v, d, k.at, k.def) }

// share is a number of bytes, or, kept negative, a percentage of maxmemory.
type share struct {
	at func(*Values) *int64
}

func (k share) set(v *Values, d *Directive, in input) error {
	return setOne(v, d, in, k.at, func(s string) (int64, error) {
		if p, ok := strings.CutSuffix(s, "%"); ok {
			n, err := parseInteger(p)
			if err != nil || n < 0 {
				return 0, errPercent
			}
			if n > 100 {
				return 0, errors.New("percentage argument must be less or equal to 100")
			}
			return -n, nil
		}
		n, err := ParseMemory(s)
		if err != nil {
			return 0, errPercent
		}
		if n > math.MaxInt64 {
			return 0, outOfRange(-100, maxInt64)
		}
		return int64(n), nil
	})
}

func (k share) get(v *Values, d *Directive) string {
	if n := load(v, d, k.at); n < 0 {
		return strconv.FormatInt(-n, 10) + "%"
	} else {
		return strconv.FormatInt(n, 10)
	}
}

func (k share) lines(v *Values, d *Directive) []string {
	if n := load(v, d, k.at); n >= 0 {
		return []string{formatMemory(uint64(n))}
	}
	return []string{k.get(v, d)}
}
func (k share) reset(v *Values, d *Directive) { store(v, d, k.at, 0) }

// enum is one of names. The value is its index.
type enum[T ~uint8] struct {
	def   T
	names []string
	at    func(*Values) *T
}

func (k enum[T]) set(v *Values, d *Directive, in input) error {
	return setOne(v, d, in, k.at, func(s string) (T, error) {
		for i, name := range k.names {
			if strings.EqualFold(name, s) {
				return T(i), nil
			}
		}
		return 0, errEnum(k.names)
	})
}

func errEnum(names []string) error {
	return errors.New("argument(s) must be one of the following: " + strings.Join(names, ", "))
}

func (k enum[T]) get(v *Values, d *Directive) string     { return k.names[load(v, d, k.at)] }
func (k enum[T]) lines(v *Values, d *Directive) []string { return []string{k.get(v, d)} }
func (k enum[T]) reset(v *Values, d *Directive)          { store(v, d, k.at, k.def) }

// flags is any number of names, of which the first stands for none. Bit i-1 is names[i].
type flags[T ~uint8] struct {
	names []string
	check func(T) error // may be nil
	at    func(*Values) *T
}

func (k flags[T]) set(v *Values, d *Directive, in input) error {
	if len(in.args) == 0 {
		return errEnum(k.names)
	}
	var x T
next:
	for _, s := range in.args {
		for i, name := range k.names {
			if strings.EqualFold(name, s) {
				x |= T(1) << i >> 1
				continue next
			}
		}
		return errEnum(k.names)
	}
	if k.check != nil {
		if err := k.check(x); err != nil {
			return err
		}
	}
	store(v, d, k.at, x)
	return nil
}

func (k flags[T]) get(v *Values, d *Directive) string {
	x := load(v, d, k.at)
	var on []string
	for i, name := range k.names[1:] {
		if x&(1<<i) != 0 {
			on = append(on, name)
		}
	}
	if on == nil {
		on = k.names[:1]
	}
	return strings.Join(on, " ")
}
func (k flags[T]) lines(v *Values, d *Directive) []string { return []string{k.get(v, d)} }
func (k flags[T]) reset(v *Values, d *Directive)          { store(v, d, k.at, 0) }

// text is any string.
type text struct {
	def   string
	check func(string) error
	at    func(*Values) *string
}

func (k text) set(v *Values, d *Directive, in input) error {
	return setOne(v, d, in, k.at, func(s string) (string, error) {
		if k.check == nil {
			return s, nil
		}
		return s, k.check(s)
	})
}

func (k text) get(v *Values, d *Directive) string     { return load(v, d, k.at) }
func (k text) lines(v *Values, d *Directive) []string { return []string{Quote(k.get(v, d))} }
func (k text) reset(v *Values, d *Directive)          { store(v, d, k.at, k.def) }
