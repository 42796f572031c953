// A program that uses etcd itself and through a dependency, both by the official path. It prints
// what it read, and which modules its clients run in.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-kit/kit/sd/etcdv3"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type report struct {
	Own        string   // read by the program's client
	Dependency []string // read by the dependency's client
	Module     string   // what is linked as the official module
	Goroutines []string // modules of the clients that have goroutines
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(endpoints []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var r report
	kit, err := etcdv3.NewClient(ctx, endpoints, etcdv3.ClientOptions{DialTimeout: 20 * time.Second})
	if err != nil {
		return err
	}
	if err := kit.Register(etcdv3.Service{Key: "/services/a", Value: "10.0.0.1:80"}); err != nil {
		return err
	}
	changes := make(chan struct{})
	go kit.WatchPrefix("/services/", changes)
	<-changes // once the watch is created
	if r.Dependency, err = kit.GetEntries("/services/"); err != nil {
		return err
	}
	r.Goroutines = clients() // so far only the dependency has one

	own, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 20 * time.Second})
	if err != nil {
		return err
	}
	defer own.Close()
	if _, err := own.Put(ctx, "/own", "written"); err != nil {
		return err
	}
	g, err := own.Get(ctx, "/own")
	if err != nil {
		return err
	}
	r.Own = string(g.Kvs[0].Value)
	r.Module = module("go.etcd.io/etcd/client/v3")
	return json.NewEncoder(os.Stdout).Encode(r)
}

// clients lists the modules of etcd clients that have goroutines.
func clients() (list []string) {
	text := make([]byte, 1<<20)
	text = text[:runtime.Stack(text, true)]
	for _, m := range []string{"go.etcd.io/etcd/client/v3", "github.com/fairlead-go/fairlead"} {
		if strings.Contains(string(text), "\n"+m) {
			list = append(list, m)
		}
	}
	return list
}

func module(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "no build information"
	}
	for _, m := range info.Deps {
		if m.Path == path && m.Replace != nil {
			return m.Replace.Path + " " + m.Replace.Version
		} else if m.Path == path {
			return m.Path + " " + m.Version
		}
	}
	return "none"
}
