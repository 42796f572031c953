// Package gokit tests go-kit's own etcd package and the adapter that replaces it side by side.
// Each sees the records of the other, and both meet the same faults. The promises of the adapter
// are asserted; the behaviour of go-kit's own package is printed beside it (go test -v, and
// -outage 60s).
//
// The tests are here because the adapter's module must not depend on the official client, which
// go-kit's package needs.
package gokit
