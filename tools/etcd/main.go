// Command etcd is the etcd server that Fairlead's tests run, pinned by this module's go.mod.
//
// The released server has its main package in a module that cannot be required, since its go.mod
// replaces its own parts. So this is the same single line: etcdmain runs the server, the gateway
// or the gRPC proxy, as the first argument says.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
