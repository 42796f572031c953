// Package agent is one process for a host, which serves the instances registered in etcd to
// programs that do not speak etcd.
//
// One Directory serves all of its parts: DNS (package nameserver), an HTTP API in JSON
// (openapi.json describes it) and Prometheus' service discovery. The parts:
//
//   - options.go says what is switched on, and refuses options that would let anybody in; tokens.go
//     and guard.go check requests.
//   - feeds.go follows the services that clients ask for. Reads are answered from there, with stale
//     instances while etcd is away.
//   - book.go holds the registrations that programs renew over HTTP. A Registrar keeps each as a
//     record until the program has not renewed it for its TTL. state.go saves them in a file, so
//     that they survive a restart.
//   - api.go, reads.go, writes.go and events.go are the HTTP API; metrics.go reports the agent's
//     own state.
package agent
