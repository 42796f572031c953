// Package picks has a table of what each instance gets with the policies of package pick, for
// weights, latencies, rates and numbers of instances, on a virtual clock:
//
//	go test -v ./picks
package picks
