// Package gokit has go-kit's own etcd package and the adapter that takes its place side by side:
// records of each are seen by the other, and both meet the same faults. What the adapter promises
// is asserted; what go-kit's own does is printed beside it (go test -v, and -outage 60s).
//
// It lies here because the adapter's module must not depend on the official client, which go-kit's
// package needs.
package gokit
