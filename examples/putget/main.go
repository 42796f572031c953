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

// 写入ETCD
func PUT(cli *clientv3.Client, key, val string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	resp, err := cli.Put(ctx, key, val)
	cancel()
	if err != nil {
		return "", err
	}
	return toString(resp)
}

// 查询ETCD
func GET(cli *clientv3.Client, key string, opts ...clientv3.OpOption) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	resp, err := cli.Get(ctx, key, opts...)
	cancel()
	if err != nil {
		return "", err
	}
	return toString(resp)
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
	if v, err := PUT(cli, "sample_key", "sample_value123"); err != nil {
		glog.Errorf(err.Error())
	} else {
		fmt.Printf("PUT RESULT: %s\n", v)
	}
	if v, err := GET(cli, "sample_key"); err != nil {
		glog.Errorf(err.Error())
	} else {
		fmt.Printf("GET RESULT: %s\n", v)
	}
}
