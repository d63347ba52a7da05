// Package linear records what concurrent clients ask and are answered, across
// kills and restarts of the server, and has porcupine decide whether one order
// of the operations explains all answers (linearizability).
//
// An operation without an answer, because the server was killed, may have
// happened at any later moment or never: it enters the history as one that
// returns at the very end with an unknown answer.
//
// Porcupine: https://github.com/anishathalye/porcupine. The notion: Herlihy and
// Wing, "Linearizability: A Correctness Condition for Concurrent Objects", 1990.
package linear
