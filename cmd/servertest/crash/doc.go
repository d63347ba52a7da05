// Package crash kills a real server with SIGKILL at random moments while
// clients write through pipelines, starts it again on the same directory, and
// checks what it has kept.
//
// Each writer's operations are a history (package history): what survives must be the state
// after a prefix that holds everything acknowledged and everything that any reader saw.
//
// Large collections of each type are changed while they are saved, and compared with those of a replica and of a stock redis-server.
//
// TIDEMARK_CRASHES sets the number of kills, TIDEMARK_SEED repeats the choices
// of a run (not its timing).
package crash
