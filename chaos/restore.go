package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/chaos/history"
	"github.com/fairlead-go/fairlead/chaos/schedule"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// restoreTimeout bounds a restore from a backup.
const restoreTimeout = time.Minute

// loginGrace is how long clients have to find out that etcd no longer answers calls with their
// tokens.
const loginGrace = 5 * time.Second

// restore takes a backup, lets the clients go on for a while, and then goes back to the backup.
// Clients are cut off before the members end, so that everything they saw is recorded.
func (s *striker) restore(ctx context.Context, f schedule.Fault) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "chaos-backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "backup.db")
	if err := s.backup(ctx, f.Member, file); err != nil {
		return fmt.Errorf("taking a backup: %w", err)
	}
	r := &history.Restore{Backup: s.clock.Now(), Renamed: f.Renamed}
	if r.Kept, err = etcdtest.SnapshotRevision(ctx, file); err != nil {
		return err
	}
	pause(ctx, r.Backup+f.For-s.clock.Now())

	s.operator.Lock()
	defer s.operator.Unlock()
	for _, m := range s.cluster.Members() {
		m.Proxy().Cut()
	}
	r.At = s.clock.Now()
	rev, err := s.admin.revision(ctx)
	if err != nil {
		return err
	}
	if err := s.rec.await(ctx, rev); err != nil {
		return err
	}
	s.rec.end()
	r.Lost = s.rec.forget(r.Kept)
	token := s.cluster.Token()
	if f.Renamed {
		token += "-restored"
	}
	if err := s.cluster.RestoreSnapshot(ctx, file, token); err != nil {
		return err
	}
	s.rec.begin()
	r.Back = s.clock.Now()
	for _, m := range s.cluster.Members() {
		err = errors.Join(err, m.Proxy().Heal())
	}
	err = errors.Join(err, s.cluster.WaitHealthy(ctx))
	r.Settled = s.clock.Now() + loginGrace
	for m := range s.cluster.Members() {
		s.touch(history.Touch{Member: m, What: string(f.Kind), From: r.At, To: r.Settled})
	}
	s.restored = r
	return err
}

// backup takes one of a member, or of the next ones: what faults did to it may not be over.
func (s *striker) backup(ctx context.Context, member int, file string) error {
	for n := member; ; n++ {
		err := s.admin.backup(ctx, n%len(s.cluster.Members()), file)
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// backup writes a snapshot of a member to a file.
func (a *admin) backup(ctx context.Context, member int, file string) error {
	return a.as(ctx, member, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
		s, err := pb.NewMaintenanceClient(cc).Snapshot(ctx, &pb.SnapshotRequest{})
		if err != nil {
			return err
		}
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		for {
			part, err := s.Recv()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := f.Write(part.Blob); err != nil {
				return err
			}
		}
	})
}
