package value

import (
	"fmt"
	"math"
	"strconv"

	"tidemark/engine/keyspace"
)

// embStrMax is the longest value OBJECT ENCODING calls embstr.
const embStrMax = 44

// StringEncoding is the encoding of a string that was stored whole: int for the canonical text of an int64, embstr up
// to 44 bytes, raw beyond. What was edited in place is Raw whatever it looks like; keyspace.Shard.Resize sees to that.
func StringEncoding(v []byte) keyspace.Encoding {
	if len(v) <= 20 {
		if len(v) != 0 && (v[0] == '-' || v[0]-'0' <= 9) {
			if _, ok := ParseInt(v); ok {
				return keyspace.Int
			}
		}
		return keyspace.EmbStr
	}
	if len(v) <= embStrMax {
		return keyspace.EmbStr
	}
	return keyspace.Raw
}

func appendInt(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }

// parseScore reads the text of a score.
func parseScore(p []byte) (float64, error) {
	f, err := strconv.ParseFloat(string(p), 64)
	if err != nil && !math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("%.40q is no score", p)
	}
	return f, nil
}
