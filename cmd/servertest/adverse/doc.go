// Package adverse runs the server where things are against it: one processor, a death at each step of a rewrite or a rotation, effects
// larger than any buffer, thousands of clients that wait and leave, clients that shut one half of their connection down.
//
// The tests are short by default. TIDEMARK_ADVERSE=n makes them n times as long, or as many.
package adverse
