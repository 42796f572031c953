//go:build never

package clientv3

// Programs whose dependencies are older than 2023 have a google.golang.org/genproto that still
// holds packages which api/v3 and gRPC take from two modules of their own now: the go command finds
// them twice and stops. A current genproto among the requirements ends that. Nothing of it is
// linked.
import _ "google.golang.org/genproto/googleapis/type/color"
