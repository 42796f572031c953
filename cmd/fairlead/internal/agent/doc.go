// Package agent is one process for a host, which brings what is registered in etcd to programs that
// do not speak etcd.
//
// One Directory serves all of its parts: DNS (package nameserver), an HTTP API in JSON
// (openapi.json describes it) and Prometheus' service discovery. The parts:
//
//   - options.go says what is switched on, and refuses what would let in anybody; tokens.go and
//     guard.go check requests.
//   - feeds.go follows the services that are asked for. Reads are answered from there, stale while
//     etcd is away.
//   - book.go has the registrations of programs that renew them over HTTP: each is a record that a
//     Registrar keeps, until the program is silent for its TTL. state.go keeps them in a file, so
//     that they survive a restart.
//   - api.go, reads.go, writes.go and events.go are the HTTP API; metrics.go what it says of
//     itself.
package agent
