// Command fairlead works with etcd clusters: a command line under etcdctl's names, a development
// cluster, and a demonstration of the client under faults. `fairlead help` lists the commands.
package main

import (
	"os"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
	}))
}
