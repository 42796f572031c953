// Package faultnet puts a faulty network between a client and a server: a TCP proxy on loopback
// whose faults are switched on and off while connections run through it.
//
// Two kinds of fault are kept apart because software meets them so differently. A fault that
// answers (a refused connection, a reset, a closed connection) is seen at once. A fault that says
// nothing (a black hole) is seen only by whoever keeps a timer; it is modelled as a network that
// holds packets back, so bytes caught in it arrive after Heal, as they would when TCP sends them
// again, and a close caught in it is not seen either.
//
// The package uses the standard library only and runs where Unix sockets calls exist (Linux, macOS,
// the BSDs).
package faultnet
