//go:build race

package servertest

// RaceEnabled says that this binary, and so the server it builds, has the race detector.
const RaceEnabled = true
