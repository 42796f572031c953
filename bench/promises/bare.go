package main

import (
	"context"
	"io"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// bare is only gRPC's generated stubs, with one connection for much data and one for the rest:
// what it cannot do on this machine, no client can.
type bare struct {
	little, much *grpc.ClientConn

	mu      sync.Mutex // held from a renewal to its answer
	renewal grpc.BidiStreamingClient[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]
}

func (t *trial) bare(ctx context.Context, endpoint string) (*bare, error) {
	b := &bare{}
	for _, c := range []**grpc.ClientConn{&b.little, &b.much} {
		cc, err := grpc.NewClient("passthrough:///"+endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		t.later(cc.Close)
		*c = cc
	}
	var err error
	b.renewal, err = pb.NewLeaseClient(b.little).LeaseKeepAlive(ctx)
	return b, err
}

// beside makes bare's calls; its watch calls seen until ctx ends.
func (b *bare) beside(ctx context.Context, lease int64, write func(context.Context, string) error) (*beside, error) {
	kv := pb.NewKVClient(b.little)
	little := &beside{
		write: write,
		get: func(ctx context.Context) error {
			_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("small")})
			return err
		},
		renew: func(context.Context) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if err := b.renewal.Send(&pb.LeaseKeepAliveRequest{ID: lease}); err != nil {
				return err
			}
			_, err := b.renewal.Recv()
			return err
		},
	}
	w, err := pb.NewWatchClient(b.little).Watch(ctx)
	if err != nil {
		return nil, err
	}
	err = w.Send(
		&pb.WatchRequest{
			RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("watched")}},
		},
	)
	go func() {
		for {
			r, err := w.Recv()
			if err != nil {
				return // the context of the watch has ended
			}
			for _, e := range r.Events {
				little.seen(string(e.Kv.Value))
			}
		}
	}()
	return little, err
}

func (b *bare) snapshot(ctx context.Context) (n int64, _ error) {
	s, err := pb.NewMaintenanceClient(b.much).Snapshot(ctx, &pb.SnapshotRequest{})
	for err == nil {
		var r *pb.SnapshotResponse
		if r, err = s.Recv(); err == nil {
			n += int64(len(r.Blob))
		}
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// bareFigures measures the machine: the same work with nothing but gRPC.
func (t *trial) bareFigures(
	ctx context.Context,
	endpoint string,
	lease int64,
	write func(context.Context, string) error,
) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b, err := t.bare(ctx, endpoint)
	if err != nil {
		return err
	}
	little, err := b.beside(ctx, lease, write)
	if err != nil {
		return err
	}
	idle, _, err := little.measure(ctx, nil)
	if err != nil {
		return err
	}
	busy, bytes, err := little.measure(ctx, b.snapshot)
	if err != nil {
		return err
	}
	t.under("the same snapshot with gRPC alone, on a connection of its own, %d MB: the machine", bytes>>20)
	t.show("watch: 99th percentile, times the idle one", "", busy.watch/idle.watch)
	t.show("renewals: 99th percentile, times the idle one", "", busy.renewal/idle.renewal)
	t.show("gets: 99th percentile", "ms", busy.get)
	t.show("watch: 99th percentile, idle", "ms", idle.watch)
	t.show("renewals: 99th percentile, idle", "ms", idle.renewal)
	return nil
}
