// Copyright (C) 2019 lijiaocn <[email protected]> wechat: lijiaocn
//
// Distributed under terms of the GPL license.

// The language version of the time this program was written: from 1.24 on, vet
// objects to a message as a format (glog.Errorf(err.Error())), and the program is
// to stay as it is but for its imports.
//
//go:build go1.21

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/golang/glog"

	"github.com/fairlead-go/fairlead/clientv3"
)

func toString(obj interface{}) (string, error) {
	bytes, err := json.Marshal(obj)
	if err != nil {
		return "", err
	}
	return string(bytes), nil
}

func WATCH(cli *clientv3.Client, key string, opts ...clientv3.OpOption) (clientv3.WatchChan, error) {
	watchChan := cli.Watch(context.Background(), key, opts...)
	return watchChan, nil
}

func main() {
	config := clientv3.Config{
		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
		DialTimeout: 5 * time.Second,
	}
	cli, err := clientv3.New(config)
	if err != nil {
		glog.Fatal(err.Error())
	}
	defer func() {
		if err := cli.Close(); err != nil {
			glog.Error(err.Error())
		}
	}()
	if watchChan, err := WATCH(cli, "sample_key"); err != nil {
		glog.Errorf(err.Error())
	} else {
		for {
			wr := <-watchChan
			if str, err := toString(wr); err == nil {
				fmt.Printf("%s\n", str)
			} else {
				glog.Error(err.Error())
			}
		}
	}
}
