// Command etcd is the etcd server of the v3.5 line for the version matrix. It is a module of its
// own, outside go.work, because a build holds only one version of the server.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
