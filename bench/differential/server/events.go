package server

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Watch says which events a watch has to deliver.
type Watch struct {
	Key, End        []byte // as in a range request
	From            int64
	NoPut, NoDelete bool
}

func (w *Watch) wants(e *mvccpb.Event) bool {
	if e.Kv.ModRevision < w.From || e.Type == mvccpb.Event_PUT && w.NoPut ||
		e.Type == mvccpb.Event_DELETE && w.NoDelete {
		return false
	}
	switch {
	case len(w.End) == 0:
		return bytes.Equal(e.Kv.Key, w.Key)
	case len(w.End) == 1 && w.End[0] == 0:
		return bytes.Compare(e.Kv.Key, w.Key) >= 0
	}
	return bytes.Compare(e.Kv.Key, w.Key) >= 0 && bytes.Compare(e.Kv.Key, w.End) < 0
}

// Expected counts the events up to the store's present revision that a watch has to deliver.
func (s *Server) Expected(ctx context.Context, w Watch) (int, error) {
	rev, err := s.Revision(ctx)
	if err != nil {
		return 0, err
	}
	events, err := s.events.upTo(ctx, rev)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range events {
		if w.wants(e) {
			n++
		}
	}
	return n, nil
}

// history holds all events since the last reset, which it receives by a watch of its own on
// everything.
type history struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	rev    int64           // all events up to it are here; guarded by mu
	events []*mvccpb.Event // guarded by mu
	moved  chan struct{}   // closed when rev rises; guarded by mu
}

// record follows the store from a revision on. A server may end the watch when authentication is
// switched; then record opens another.
func (s *Server) record(from int64) *history {
	ctx, cancel := context.WithCancel(context.Background())
	h := &history{cancel: cancel, done: make(chan struct{}), rev: from - 1, moved: make(chan struct{})}
	go func() {
		defer close(h.done)
		pause := time.NewTicker(10 * time.Millisecond) // does not flood the server
		defer pause.Stop()
		for ctx.Err() == nil {
			s.follow(ctx, h)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
	}()
	return h
}

func (s *Server) follow(ctx context.Context, h *history) {
	stream, err := s.watch.Watch(s.as(ctx))
	if err != nil {
		return
	}
	h.mu.Lock()
	from := h.rev + 1
	h.mu.Unlock()
	req := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: from}
	err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}})
	if err != nil {
		return
	}
	for {
		r, err := stream.Recv()
		if err != nil || r.Canceled {
			return
		}
		h.add(r.Events)
	}
}

func (h *history) add(events []*mvccpb.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		if e.Kv.ModRevision > h.rev {
			close(h.moved)
			h.moved = make(chan struct{})
			h.rev = e.Kv.ModRevision
		}
		h.events = append(h.events, e)
	}
}

// forget drops the events up to a revision.
func (h *history) forget(rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := h.events[:0]
	for _, e := range h.events {
		if e.Kv.ModRevision > rev {
			kept = append(kept, e)
		}
	}
	h.events = kept
}

func (h *history) upTo(ctx context.Context, rev int64) ([]*mvccpb.Event, error) {
	for {
		h.mu.Lock()
		at, moved := h.rev, h.moved
		events := h.events[:len(h.events):len(h.events)]
		h.mu.Unlock()
		if at >= rev {
			return events, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("server: events up to %d, have %d: %w", rev, at, ctx.Err())
		}
	}
}

func (h *history) close() {
	h.cancel()
	<-h.done
}
