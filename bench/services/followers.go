package main

import (
	"context"

	"github.com/go-kit/kit/sd"
	theirs "github.com/go-kit/kit/sd/etcdv3"
	"github.com/go-kit/log"
	"go.uber.org/zap"

	ours "github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

// followers report the number of instances whenever it changes, until seen returns false.
var followers = map[string]func(ctx context.Context, endpoint string, seen func(n int) bool) error{
	"go-kit Instancer": func(ctx context.Context, endpoint string, seen func(n int) bool) error {
		c, err := theirs.NewClient(ctx, []string{endpoint}, theirs.ClientOptions{})
		if err != nil {
			return err
		}
		i, err := theirs.NewInstancer(c, prefix, log.NewNopLogger())
		if err != nil {
			return err
		}
		return countOf(i, seen)
	},
	"our drop-in's Instancer": func(ctx context.Context, endpoint string, seen func(n int) bool) error {
		c, err := ours.NewClient(ctx, []string{endpoint}, ours.ClientOptions{})
		if err != nil {
			return err
		}
		i, err := ours.NewInstancer(c, prefix, log.NewNopLogger())
		if err != nil {
			return err
		}
		return countOf(i, seen)
	},
	"discovery.Subscription": func(ctx context.Context, endpoint string, seen func(n int) bool) error {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop(), Context: ctx})
		if err != nil {
			return err
		}
		s, err := discovery.NewDirectory(c, discovery.WithFormat(discovery.Raw{Base: "/services/"})).Subscribe("foosvc")
		if err != nil {
			return err
		}
		for {
			change, err := s.Next(ctx)
			if err != nil || !seen(change.View.Len()) {
				return err
			}
		}
	},
}

// countOf counts the instances in an instancer's events.
func countOf(i sd.Instancer, seen func(n int) bool) error {
	events := make(chan sd.Event)
	go i.Register(events) // go-kit's blocks until the first event is received
	for e := range events {
		if e.Err != nil || !seen(len(e.Instances)) {
			return e.Err
		}
	}
	return nil
}
