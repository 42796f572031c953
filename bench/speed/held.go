package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/bench/speed/side"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/wire"
)

// oneEvent counts the allocations that a response with one event costs: for decoding alone, and
// for all that a live watch takes beyond the puts themselves.
func oneEvent(ctx context.Context, r *run) error {
	const n = 5000
	data, err := proto.Marshal(&pb.WatchResponse{
		Header: &pb.ResponseHeader{ClusterId: 1, MemberId: 2, Revision: 3, RaftTerm: 4}, WatchId: 1,
		Events: []*mvccpb.Event{
			{
				Kv: &mvccpb.KeyValue{
					Key:            []byte("some/key"),
					CreateRevision: 3,
					ModRevision:    3,
					Version:        1,
					Value:          []byte(value),
				},
			},
		},
	})
	if err != nil {
		return err
	}
	decode := func(f func(*pb.WatchResponse) error) (float64, error) {
		c, err := measure(func() error {
			for range n {
				if err := f(new(pb.WatchResponse)); err != nil {
					return err
				}
			}
			return nil
		})
		return c.mallocs / n, err
	}
	library, err := decode(func(m *pb.WatchResponse) error { return proto.Unmarshal(data, m) })
	if err != nil {
		return err
	}
	received := mem.BufferSlice{mem.SliceBuffer(data)}
	byHand, err := decode(func(m *pb.WatchResponse) error { return wire.Codec{}.Unmarshal(received, m) })
	if err != nil {
		return err
	}
	r.absolute("allocations to decode it, the message itself included", "", library, byHand, 4)
	return server(etcdtest.Options{}, func(cl *etcdtest.Cluster) error {
		return both(cl.Endpoints(), func(sides [2]*side.Side) error {
			var got [2]float64
			for at, s := range sides {
				puts := func(key string) (float64, error) {
					c, err := measure(func() error {
						for range n {
							if err := s.Put(ctx, key, value); err != nil {
								return err
							}
						}
						return nil
					})
					return c.mallocs / n, err
				}
				if _, err := puts("one/warm"); err != nil {
					return err
				}
				alone, err := puts("one/alone")
				if err != nil {
					return err
				}
				done := make(chan error, 1)
				wctx, cancel := context.WithCancel(ctx)
				defer cancel()
				go func() { done <- s.Follow(wctx, "one/watched", n) }()
				time.Sleep(time.Second) // until the watch has begun
				watched, err := puts("one/watched")
				if err != nil {
					return err
				}
				if err := <-done; err != nil {
					return err
				}
				got[at] = watched - alone
			}
			r.ratio("allocations from the network to the channel", "", got[0], got[1], 0)
			return nil
		})
	})
}

// keptOne keeps one of many key-values of an answer.
func keptOne(ctx context.Context, r *run) error {
	const keys, size = 1000, 4 << 10
	return server(etcdtest.Options{}, func(cl *etcdtest.Cluster) error {
		return both(cl.Endpoints(), func(sides [2]*side.Side) error {
			v := strings.Repeat("x", size)
			err := each(keys, func(i int) error { return sides[1].Put(ctx, fmt.Sprintf("kept/%04d", i), v) })
			if err != nil {
				return err
			}
			var bytes [2]float64
			for at, s := range sides {
				if _, err := s.One(ctx, "kept/", keys/2); err != nil { // what a client needs only once
					return err
				}
				const times = 10
				var kept [times]*mvccpb.KeyValue
				before := memory()
				for i := range kept {
					kv, err := s.One(ctx, "kept/", keys/2+i)
					if err != nil {
						return err
					}
					kept[i] = kv
				}
				bytes[at] = (memory() - before) / times
				runtime.KeepAlive(kept)
			}
			r.absolute("memory of one", "B", bytes[0], bytes[1], 20<<10)
			return nil
		})
	})
}

// replayLarge is replay in a process with 200 MB of live heap, where the collector rarely runs.
func replayLarge(ctx context.Context, r *run) error {
	ballast := make([][]byte, 200)
	for i := range ballast {
		ballast[i] = make([]byte, 1<<20)
	}
	err := replayOf(ctx, r, 0.6)
	runtime.KeepAlive(ballast)
	return err
}
