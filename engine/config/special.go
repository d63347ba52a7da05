package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// addresses is bind: host names and addresses, each with an optional "-" before it that lets it be missing on this machine.
type addresses struct{}

const maxBindAddresses = 16

func (addresses) set(v *Values, d *Directive, in input) error {
	if len(in.args) > maxBindAddresses {
		return errors.New("Too many bind addresses specified.")
	}
	v.Bind = slices.Clone(in.args)
	return nil
}

func (addresses) get(v *Values, d *Directive) string { return strings.Join(v.Bind, " ") }
func (addresses) lines(v *Values, d *Directive) []string {
	if len(v.Bind) == 0 {
		return []string{`""`}
	}
	return []string{quoteAll(v.Bind)}
}
func (addresses) reset(v *Values, d *Directive) { v.Bind = []string{"*", "-::*"} }

// savePoints is save. In a file the first line replaces the defaults and later ones add; an empty string clears.
type savePoints struct{}

var errSave = errors.New("Invalid save parameters")

func (savePoints) set(v *Values, d *Directive, in input) error {
	if len(in.args) == 0 {
		v.Save = nil
		return nil
	}
	if len(in.args)%2 != 0 {
		return errSave
	}
	var points []SavePoint
	if !in.first {
		points = slices.Clone(v.Save)
	}
	for i := 0; i < len(in.args); i += 2 {
		seconds, err1 := parseInteger(in.args[i])
		changes, err2 := parseInteger(in.args[i+1])
		if err1 != nil || err2 != nil || seconds < 1 || seconds > math.MaxInt32 || changes < 0 || changes > math.MaxInt32 {
			return errSave
		}
		points = append(points, SavePoint{seconds, changes})
	}
	v.Save = points
	return nil
}

func (savePoints) get(v *Values, d *Directive) string {
	var w []string
	for _, p := range v.Save {
		w = append(w, fmt.Sprintf("%d %d", p.Seconds, p.Changes))
	}
	return strings.Join(w, " ")
}

func (savePoints) lines(v *Values, d *Directive) []string {
	if len(v.Save) == 0 {
		return []string{`""`}
	}
	var w []string
	for _, p := range v.Save {
		w = append(w, fmt.Sprintf("%d %d", p.Seconds, p.Changes))
	}
	return w
}

func (savePoints) reset(v *Values, d *Directive) {
	v.Save = []SavePoint{{3600, 1}, {300, 100}, {60, 10000}}
}

// outputLimits is client-output-buffer-limit: class hard soft seconds, any number of times.
type outputLimits struct{}

// classNames are those of CONFIG GET, which says slave to this day.
var classNames = [NumClientClasses]string{"normal", "slave", "pubsub"}

func (outputLimits) set(v *Values, d *Directive, in input) error {
	if len(in.args)%4 != 0 {
		return errors.New("Wrong number of arguments in buffer limit configuration.")
	}
	limits := v.OutputLimits
	for a := in.args; len(a) > 0; a = a[4:] {
		name := a[0]
		if strings.EqualFold(name, "replica") {
			name = "slave"
		}
		class := slices.IndexFunc(classNames[:], func(n string) bool { return strings.EqualFold(n, name) })
		if class < 0 {
			return errors.New("Invalid client class specified in buffer limit configuration.")
		}
		hard, err1 := ParseMemory(a[1])
		soft, err2 := ParseMemory(a[2])
		seconds, err3 := strconv.ParseInt(a[3], 10, 64)
		if err1 != nil || err2 != nil || err3 != nil || hard > math.MaxInt64 || soft > math.MaxInt64 || seconds < 0 {
			return errors.New("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
		}
		limits[class] = OutputLimit{int64(hard), int64(soft), seconds}
	}
	v.OutputLimits = limits
	return nil
}

func (outputLimits) get(v *Values, d *Directive) string {
	var w []string
	for i, l := range v.OutputLimits {
		w = append(w, fmt.Sprintf("%s %d %d %d", classNames[i], l.HardBytes, l.SoftBytes, l.SoftSeconds))
	}
	return strings.Join(w, " ")
}

func (outputLimits) lines(v *Values, d *Directive) []string {
	var w []string
	for i, l := range v.OutputLimits {
		name := classNames[i]
		if ClientClass(i) == ClassReplica {
			name = "replica"
		}
		w = append(w, fmt.Sprintf("%s %s %s %d", name,
			formatMemory(uint64(l.HardBytes)), formatMemory(uint64(l.SoftBytes)), l.SoftSeconds))
	}
	return w
}

func (outputLimits) reset(v *Values, d *Directive) {
	v.OutputLimits = [NumClientClasses]OutputLimit{
		ClassReplica: {256 << 20, 64 << 20, 60},
		ClassPubSub:  {32 << 20, 8 << 20, 60},
	}
}

// percentiles is latency-tracking-info-percentiles.
type percentiles struct{}

func (percentiles) set(v *Values, d *Directive, in input) error {
	var ps []float64
	for _, s := range in.args {
		p, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(p) {
			return errors.New("Invalid latency-tracking-info-percentiles parameters")
		}
		if p < 0 || p > 100 {
			return errors.New("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
		}
		ps = append(ps, p)
	}
	v.LatencyPercentiles = ps
	return nil
}

func (percentiles) get(v *Values, d *Directive) string {
	var w []string
	for _, p := range v.LatencyPercentiles {
		w = append(w, strconv.FormatFloat(p, 'g', -1, 64))
	}
	return strings.Join(w, " ")
}

func (k percentiles) lines(v *Values, d *Directive) []string {
	if len(v.LatencyPercentiles) == 0 {
		return []string{`""`}
	}
	return []string{k.get(v, d)}
}

func (percentiles) reset(v *Values, d *Directive) { v.LatencyPercentiles = []float64{50, 99, 99.9} }

// notifications is notify-keyspace-events.
type notifications struct{}

// notifyChars is in the order in which Redis writes the classes.
var notifyChars = []struct {
	char byte
	flag NotifyFlags
}{
	{'g', NotifyGeneric}, {'$', NotifyString}, {'l', NotifyList}, {'s', NotifySet}, {'h', NotifyHash},
	{'z', NotifyZSet}, {'x', NotifyExpired}, {'e', NotifyEvicted}, {'t', NotifyStream}, {'d', NotifyModule},
	{'n', NotifyNew}, {'K', NotifyKeyspace}, {'E', NotifyKeyevent}, {'m', NotifyKeyMiss},
}

func (notifications) set(v *Values, d *Directive, in input) error {
	s, err := in.one()
	if err != nil {
		return err
	}
	var x NotifyFlags
next:
	for i := range len(s) {
		if s[i] == 'A' {
			x |= NotifyAll
			continue
		}
		for _, c := range notifyChars {
			if c.char == s[i] {
				x |= c.flag
				continue next
			}
		}
		return errors.New("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
	}
	v.NotifyKeyspaceEvents = x
	return nil
}

func (notifications) get(v *Values, d *Directive) string {
	x := v.NotifyKeyspaceEvents
	var b []byte
	all := x&NotifyAll == NotifyAll
	if all {
		b = append(b, 'A')
	}
	for _, c := range notifyChars {
		// Redis names the class of new keys only beside an incomplete list.
		if x&c.flag != 0 && !(all && (c.flag&NotifyAll != 0 || c.flag == NotifyNew)) {
			b = append(b, c.char)
		}
	}
	return string(b)
}

func (k notifications) lines(v *Values, d *Directive) []string {
	x := *v
	s := k.get(v, d)
	if x.NotifyKeyspaceEvents&NotifyNew != 0 && !strings.Contains(s, "n") {
		s += "n" // CONFIG GET leaves it out; a file must not lose it
	}
	return []string{Quote(s)}
}

func (notifications) reset(v *Values, d *Directive) { v.NotifyKeyspaceEvents = 0 }

// renamings is rename-command.
type renamings struct{}

func (renamings) set(v *Values, d *Directive, in input) error {
	if len(in.args) != 2 {
		return errDirective
	}
	v.RenameCommands = append(slices.Clip(v.RenameCommands), RenameCommand{From: in.args[0], To: in.args[1]})
	return nil
}

func (renamings) get(v *Values, d *Directive) string {
	return strings.Join(renamings{}.lines(v, d), " ")
}

func (renamings) lines(v *Values, d *Directive) []string {
	var w []string
	for _, r := range v.RenameCommands {
		w = append(w, quoteAll([]string{r.From, r.To}))
	}
	return w
}

func (renamings) reset(v *Values, d *Directive) { v.RenameCommands = nil }

// directory is dir. Redis changes its working directory at once, so that a relative dir, include or file behind it is meant from
// there; here a relative dir is taken from the one before it, and the process's own directory is main's business.
type directory struct{}

func (directory) set(v *Values, d *Directive, in input) error {
	s, err := in.one()
	if err != nil {
		return err
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(v.base(), s)
	}
	s = filepath.Clean(s)
	info, err := os.Stat(s)
	if err != nil {
		return sysReason(err)
	}
	if !info.IsDir() {
		return sysReason(syscall.ENOTDIR)
	}
	v.Dir, v.DirGiven = s, true
	return nil
}

// sysReason is the operating system's own text, with a capital as in Redis.
func sysReason(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		s := no.Error()
		return errors.New(strings.ToUpper(s[:1]) + s[1:])
	}
	return err
}

func (directory) get(v *Values, d *Directive) string     { return v.Dir }
func (directory) lines(v *Values, d *Directive) []string { return []string{Quote(v.Dir)} }
func (directory) reset(v *Values, d *Directive)          {}

// oomScores is oom-score-adj-values.
type oomScores struct{}

func (oomScores) set(v *Values, d *Directive, in input) error {
	if len(in.args) != 3 {
		return errArity
	}
	for _, s := range in.args {
		if n, err := strconv.Atoi(s); err != nil || n < -2000 || n > 2000 {
			return errors.New("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
		}
	}
	v.spare[d.index] = strings.Join(in.args, " ")
	return nil
}

func (oomScores) get(v *Values, d *Directive) string       { return v.spare[d.index].(string) }
func (k oomScores) lines(v *Values, d *Directive) []string { return []string{k.get(v, d)} }
func (oomScores) reset(v *Values, d *Directive)            { v.spare[d.index] = "0 200 800" }

// primary is replicaof: host port, or "no one".
type primary struct{}

func (primary) set(v *Values, d *Directive, in input) error {
	if len(in.args) != 2 {
		return errArity
	}
	if strings.EqualFold(in.args[0], "no") && strings.EqualFold(in.args[1], "one") {
		v.PrimaryHost, v.PrimaryPort = "", 0
		return nil
	}
	n, err := strconv.Atoi(in.args[1])
	if err != nil || n < 0 || n > 65535 {
		return errors.New("Invalid master port")
	}
	v.PrimaryHost, v.PrimaryPort = in.args[0], int64(n)
	return nil
}

func (primary) get(v *Values, d *Directive) string {
	if v.PrimaryHost == "" {
		return ""
	}
	return v.PrimaryHost + " " + strconv.FormatInt(v.PrimaryPort, 10)
}

func (k primary) lines(v *Values, d *Directive) []string {
	if s := k.get(v, d); s != "" {
		return []string{s}
	}
	return nil
}
func (primary) reset(v *Values, d *Directive) { v.PrimaryHost, v.PrimaryPort = "", 0 }

// statement is a directive of files alone that has no value to keep: one that Redis ignores as well, or one that is
// refused whatever it says. n is its number of arguments, negative for at least -n.
type statement struct{ n int }

func (k statement) set(v *Values, d *Directive, in input) error {
	if k.n >= 0 && len(in.args) != k.n || len(in.args) < -k.n {
		return errDirective
	}
	return nil
}

func (statement) get(*Values, *Directive) string     { return "" }
func (statement) lines(*Values, *Directive) []string { return nil }
func (statement) reset(*Values, *Directive)          {}

// fileName is the check of a directive that must be a bare name; what is what it should be.
func fileName(name, what string) func(string) error {
	return func(s string) error {
		if s == "" {
			return fmt.Errorf("%s can't be empty", name)
		}
		if strings.Contains(s, "/") || s == "." || s == ".." {
			return fmt.Errorf("%s can't be a path, just a %s", name, what)
		}
		return nil
	}
}

func hostName(s string) error {
	if len(s) >= 256 {
		return errors.New("Hostnames must be less than 256 characters")
	}
	for i := range len(s) {
		if c := s[i] | 0x20; !('a' <= c && c <= 'z' || '0' <= s[i] && s[i] <= '9' || s[i] == '-' || s[i] == '.') {
			return errors.New("Hostnames may only contain alphanumeric characters, hyphens or dots")
		}
	}
	return nil
}

func nodeName(s string) error {
	if strings.ContainsAny(s, "!#$%&()*+:;<>?@[]^{|}~") {
		return errors.New("Announced human node name contained invalid character")
	}
	return nil
}

func powerOfTwo(n int64) error {
	if n&(n-1) != 0 {
		return errors.New("argument must be a power of two")
	}
	return nil
}

// titleVariables are what proc-title-template may name.
var titleVariables = []string{"title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"}

func titleTemplate(s string) error {
	invalid := errors.New("template format is invalid or contains unknown variables")
	if s == "" {
		return invalid
	}
	for {
		_, rest, ok := strings.Cut(s, "{")
		if !ok {
			return nil
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok || !slices.Contains(titleVariables, name) {
			return invalid
		}
		s = after
	}
}
