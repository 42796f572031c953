// A program that sets the capacity of KeepAlive's channels, at the official path or at ours. It
// prints how many answers a channel holds.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	ours "github.com/fairlead-go/fairlead/clientv3"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(endpoint, official, fairlead string) (err error) {
	if official != "" {
		clientv3.LeaseResponseChSize, err = strconv.Atoi(official)
	}
	if err == nil && fairlead != "" {
		ours.LeaseResponseChSize, err = strconv.Atoi(fairlead)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	defer c.Close()
	g, err := c.Grant(ctx, 60)
	if err != nil {
		return err
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		return err
	}
	fmt.Println(cap(ch))
	return nil
}
