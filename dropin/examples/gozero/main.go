// go-zero's services find each other through its package core/discov, which makes an etcd client of
// its own. This program is an instance that publishes itself, and a client that prints the
// instances that it knows whenever they change. It knows nothing of Fairlead. With one line more in
// go.mod, a replace, its registry runs on Fairlead, and outlives a member of etcd that freezes.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/zeromicro/go-zero/core/discov"
	"github.com/zeromicro/go-zero/core/logx"
)

func main() {
	endpoints := flag.String("endpoints", "localhost:2379,localhost:22379,localhost:32379", "the members of the cluster")
	key := flag.String("key", "shop.rpc", "the service")
	publish := flag.String("publish", "", "the address of an instance")
	flag.Parse()
	logx.Disable()
	if err := run(strings.Split(*endpoints, ","), *key, *publish); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(endpoints []string, key, publish string) error {
	if publish != "" {
		if err := discov.NewPublisher(endpoints, key, publish).KeepAlive(); err != nil {
			return err
		}
	}
	s, err := discov.NewSubscriber(endpoints, key)
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	s.AddListener(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		known := s.Values()
		slices.Sort(known)
		fmt.Println("known:", strings.Join(known, " "))
		<-changed
	}
}
