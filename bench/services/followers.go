package main

import (
	"context"

	"github.com/go-kit/kit/sd"
	theirs "github.com/go-kit/kit/sd/etcdv3"
	"github.com/go-kit/log"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	ours "github.com/fairlead-go/fairlead/gokit/sd/etcdv3"
)

// followers tell how many instances there are, whenever that changes.
var followers = map[string]func(ctx context.Context, endpoint string) (<-chan int, error){
	"go-kit Instancer": func(ctx context.Context, endpoint string) (<-chan int, error) {
		c, err := theirs.NewClient(ctx, []string{endpoint}, theirs.ClientOptions{})
		if err != nil {
			return nil, err
		}
		i, err := theirs.NewInstancer(c, prefix, log.NewNopLogger())
		if err != nil {
			return nil, err
		}
		return counts(i), nil
	},
	"our drop-in's Instancer": func(ctx context.Context, endpoint string) (<-chan int, error) {
		c, err := ours.NewClient(ctx, []string{endpoint}, ours.ClientOptions{})
		if err != nil {
			return nil, err
		}
		i, err := ours.NewInstancer(c, prefix, log.NewNopLogger())
		if err != nil {
			return nil, err
		}
		return counts(i), nil
	},
	"discovery.Subscription": func(ctx context.Context, endpoint string) (<-chan int, error) {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop(), Context: ctx})
		if err != nil {
			return nil, err
		}
		s, err := discovery.NewDirectory(c, discovery.WithRecords(discovery.Raw{Base: "/services/"})).Subscribe("foosvc")
		if err != nil {
			return nil, err
		}
		out := make(chan int)
		go func() {
			defer close(out)
			for {
				change, err := s.Next(ctx)
				if err != nil {
					return
				}
				out <- change.View.Len()
			}
		}()
		return out, nil
	},
}

// counts are those of an instancer's events.
func counts(i sd.Instancer) <-chan int {
	events := make(chan sd.Event)
	out := make(chan int)
	go func() {
		defer close(out)
		for e := range events {
			out <- len(e.Instances)
		}
	}()
	i.Register(events) // go-kit's blocks until the first event is taken
	return out
}
