// Package crash kills a real server with SIGKILL at random moments while
// clients write through pipelines, starts it again on the same directory, and
// checks what it has kept.
//
// Each writer owns its keys, so its history is a sequence of operations, and
// because the log is ordered, what survives must be the state after some
// prefix of it: one that holds at least everything acknowledged and everything
// that any reader saw, and for all the writer's keys the same prefix.
// A MULTI/EXEC block is one operation and survives whole or not at all.
//
// TIDEMARK_CRASHES sets the number of kills, TIDEMARK_SEED repeats the choices
// of a run (not its timing).
package crash
