// Package faultnet puts a faulty network between a client and a server: a TCP proxy on loopback
// whose faults are switched on and off while connections run through it.
//
// Two kinds of fault are kept apart because software meets them so differently. A fault with an
// answer (a refused connection, a reset, a closed connection) is noticed at once. A silent fault (a
// black hole) is noticed only by software with a timer. It is modelled as a network that holds
// packets back: the held bytes arrive after Heal, as they would when TCP sends them again, and a
// held close is not noticed either.
//
// The package uses the standard library only and runs where Unix sockets calls exist (Linux, macOS,
// the BSDs).
package faultnet
