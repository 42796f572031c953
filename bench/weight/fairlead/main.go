// Fairlead is the smallest program with our client: one read.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/fairlead-go/fairlead/clientv3"
)

func main() {
	c, err := clientv3.New(clientv3.Config{Endpoints: os.Args[1:]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer c.Close()
	fmt.Println(c.Get(context.Background(), "key"))
}
