// Command etcd is the etcd server that Fairlead's tests run, pinned by this module's go.mod.
//
// The released server has its main package in a module that cannot be required (its go.mod replaces
// its own parts), so this is the same one line: etcdmain gives the server, the gateway and the gRPC
// proxy, chosen by the first argument.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
