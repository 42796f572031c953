// Package reach tests the agent with the programs that people use with it: Debian's Prometheus,
// HAProxy, nginx, unbound and dig, and gRPC for Node and for Python (clients). Each is a real
// process with the configuration from docs/services.md, and so are the agent, etcd and the
// services.
//
// "make test-reach" runs it; "make test" does not, since it needs those programs.
package reach
