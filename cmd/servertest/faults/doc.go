// Package faults runs the server with a disk that is slow, fails, or is full,
// and checks that it promises nothing it cannot keep.
//
// Slow and failing syncs are made by strace's system call injection, so that the
// whole server runs unchanged, on a real file system. The full disk is a small tmpfs;
// mounting it needs root, as in CI.
package faults
