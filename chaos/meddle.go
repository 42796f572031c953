package main

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// errNobody means that there is nothing to delete or to revoke at present.
var errNobody = errors.New("there is none")

// meddle records what is about to be done, does it, and records its revision.
func (s *striker) meddle(m history.Meddling, do func() (rev int64, err error)) error {
	m.At = s.clock.Now()
	s.mu.Lock()
	i := len(s.meddlings)
	s.meddlings = append(s.meddlings, m)
	s.mu.Unlock()
	rev, err := do()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meddlings[i].Rev = rev
	return err
}

// deleteKey deletes a key of a contest: every other time the owner's, else any one of them.
func (s *striker) deleteKey(ctx context.Context, scope string, pick int) error {
	prefix := ownerScope + scope + "/"
	var key string
	err := s.admin.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
		r, err := pb.NewKVClient(cc).Range(ctx, &pb.RangeRequest{
			Key: []byte(prefix), RangeEnd: []byte(prefixEnd(prefix)), KeysOnly: true,
			SortOrder: pb.RangeRequest_ASCEND, SortTarget: pb.RangeRequest_CREATE,
		})
		if n := len(r.GetKvs()); n > 0 {
			key = string(r.Kvs[pick%2*(pick/2%n)].Key)
		}
		return err
	})
	if err == nil && key == "" {
		err = errNobody
	}
	if err != nil {
		return err
	}
	// Only once: if an unanswered deletion were sent again, it could hit the next key of that
	// name.
	return s.meddle(history.Meddling{Key: key}, func() (rev int64, err error) {
		return rev, s.admin.once(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
			r, err := pb.NewKVClient(cc).DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(key)})
			rev = r.GetHeader().GetRevision()
			return err
		})
	})
}

func (s *striker) revoke(ctx context.Context, pick int) error {
	var id int64
	err := s.admin.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
		r, err := pb.NewLeaseClient(cc).LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
		if n := len(r.GetLeases()); n > 0 {
			id = r.Leases[pick%n].ID
		}
		return err
	})
	if err == nil && id == 0 {
		err = errNobody
	}
	if err != nil {
		return err
	}
	return s.meddle(history.Meddling{Lease: id}, func() (rev int64, err error) {
		return rev, s.admin.once(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
			r, err := pb.NewLeaseClient(cc).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
			rev = r.GetHeader().GetRevision()
			return err
		})
	})
}
