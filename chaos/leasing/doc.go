// Package leasing tests that reads through clientv3/leasing are linearizable while
// members freeze, clients are cut off and whole processes are stopped for longer than
// their leases live.
package leasing
