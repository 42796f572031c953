// Package faultnet puts a faulty network between a client and a server: a TCP proxy on loopback
// whose faults are switched on and off while connections run through it.
//
// There are two kinds of fault, and software meets them differently. It notices a fault with an
// answer (a refused connection, a reset, a closed connection) at once. It notices a silent fault (a
// black hole) only if it has a timer. A black hole is a network that holds packets back: the held
// bytes arrive after Heal, as if TCP had sent them again, and so does the news that a connection
// was closed.
//
// The package uses the standard library only. It runs on Linux, macOS and the BSDs, since it needs
// Unix's system calls for sockets.
package faultnet
