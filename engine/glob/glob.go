// Package glob matches Redis's glob-style patterns: those of KEYS, SCAN, PSUBSCRIBE, CONFIG GET and ACL.
//
//   - any run of bytes, empty included
//     ?        one byte
//     [abc]    one of the bytes; [a-z] a range; [^...] none of them; \ takes the next byte literally
//     \x       x literally
//
// Patterns are never malformed. A class that is not closed ends with the pattern, an empty class matches nothing,
// a range written backwards is turned round, and a backslash at the very end stands for itself. A dot or slash is nothing
// special. The rules are those of https://redis.io/docs/latest/commands/keys/ and, where that page is silent, of
// what redis-server 7 does.
//
// Every element but the star takes exactly one byte, so on a mismatch it is enough to go back to the
// last star and let it take one byte more: an earlier star could only give the later one less to choose from. That makes
// the worst case len(pattern) × len(s) steps, where trying all stars recursively is exponential
// (CVE-2022-36021).
package glob

// Match reports whether all of s matches pattern.
func Match(pattern, s []byte) bool { return match(pattern, s, false) }

// MatchFold is Match without regard to the case of ASCII letters.
func MatchFold(pattern, s []byte) bool { return match(pattern, s, true) }

// MatchString is Match for strings. It does not allocate.
func MatchString(pattern, s string) bool { return match(pattern, s, false) }

// MatchFoldString is MatchFold for strings. It does not allocate.
func MatchFoldString(pattern, s string) bool { return match(pattern, s, true) }

// HasMeta reports whether pattern could match anything but itself.
func HasMeta(pattern string) bool {
	for i := range len(pattern) {
		switch pattern[i] {
		case '*', '?', '[', '\\':
			return true
		}
	}
	return false
}

// mostStars is how many stars Redis follows before it gives up on a pattern.
const mostStars = 1000

func match[T ~string | ~[]byte](pattern, s T, fold bool) bool {
	if len(s) == 0 {
		// Redis's matcher does not look for stars here, and its callers take a lone one for everything.
		return len(pattern) == 0 || len(pattern) == 1 && pattern[0] == '*'
	}
	p, i := 0, 0
	stars := 0
	star, resume := -1, 0 // the pattern position behind the last star, and how much of s it has taken so far
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			for p < len(pattern) && pattern[p] == '*' {
				p++
			}
			if p == len(pattern) {
				return true
			}
			if stars++; stars > mostStars {
				return false
			}
			star, resume = p, i
			continue
		}
		if p < len(pattern) {
			if next, ok := element(pattern, p, s[i], fold); ok {
				p, i = next, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		resume++
		p, i = star, resume
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// element matches c against the element at pattern[p], which is not a star, and returns where the next one begins.
func element[T ~string | ~[]byte](pattern T, p int, c byte, fold bool) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return class(pattern, p+1, c, fold)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, same(pattern[p], c, fold)
}

// class matches c against the class whose first byte behind the bracket is pattern[p].
func class[T ~string | ~[]byte](pattern T, p int, c byte, fold bool) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		switch {
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			ok = ok || pattern[p] == c // an escaped byte keeps its case
		case p+2 < len(pattern) && pattern[p+1] == '-':
			ok = ok || within(pattern[p], pattern[p+2], c, fold)
			p += 2
		default:
			ok = ok || same(pattern[p], c, fold)
		}
	}
	if p < len(pattern) {
		p++
	}
	return p, ok != not
}

// within compares as Redis does, in signed bytes: 0x80 to 0xff come before 0.
func within(lo, hi, c byte, fold bool) bool {
	if int8(lo) > int8(hi) {
		lo, hi = hi, lo
	}
	if fold {
		lo, hi, c = lower(lo), lower(hi), lower(c)
	}
	return int8(c) >= int8(lo) && int8(c) <= int8(hi)
}

func same(a, b byte, fold bool) bool { return a == b || fold && lower(a) == lower(b) }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
