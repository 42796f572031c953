// Package tools pins what Fairlead's tests and checks run but its users must not inherit: the etcd
// server (see tools/etcd, and etcd35 and etcd36 for the older ones of the version matrix) and
// staticcheck.
package tools
