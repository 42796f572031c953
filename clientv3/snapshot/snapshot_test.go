package snapshot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/snapshot"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// only checks that a directory holds these files and no others.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// check checks that a file is a bolt database with its digest.
func check(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := len(b) - sha256.Size
	if end < 4096 || end%512 != 0 {
		t.Fatalf("%d bytes", len(b))
	}
	if sum := sha256.Sum256(b[:end]); !bytes.Equal(sum[:], b[end:]) {
		t.Error("the digest is wrong")
	}
	const boltMagic, offset = 0xED0CDAED, 16 // in the first meta page, after its header
	if m := binary.NativeEndian.Uint32(b[offset:]); m != boltMagic {
		t.Errorf("no bolt database: magic %x", m)
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", s.Mode(), err)
	}
}

// fill makes a database of some megabytes.
func fill(t *testing.T, c *clientv3.Client) {
	t.Helper()
	for i := range 8 {
		_, err := c.Put(clienttest.Within(t, clienttest.Long), fmt.Sprint("fill/", i), string(make([]byte, 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSave(t *testing.T) {
	server := etcdtest.Shared(t)
	etcdtest.CheckLeaks(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	cfg := clientv3.Config{Endpoints: server.Endpoints()}
	clienttest.StorageKnown(t, clienttest.Dial(t, server.Endpoints()...))
	for range 2 { // the second replaces the first
		version, err := snapshot.SaveWithVersion(clienttest.Within(t, clienttest.Long), zap.NewNop(), cfg, path)
		if err != nil {
			t.Fatal(err)
		}
		if (version != "") != (server.Version() >= "3.6") {
			t.Errorf("server %s says %q", server.Version(), version)
		}
		check(t, path)
		only(t, dir, "a.db")
	}
	if err := snapshot.Save(clienttest.Within(t, clienttest.Long), zap.NewNop(), cfg, path); err != nil {
		t.Error(err)
	}
	t.Chdir(dir)
	if err := snapshot.Save(clienttest.Within(t, clienttest.Long), zap.NewNop(), cfg, "b.db"); err != nil {
		t.Error(err)
	}
	check(t, "b.db")
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	good := etcdtest.Shared(t).Endpoints()
	for name, test := range map[string]struct {
		endpoints []string
		path      string
		want      error
	}{
		"two endpoints": {[]string{good[0], "127.0.0.1:1"}, filepath.Join(dir, "a.db"), nil},
		"no endpoint":   {nil, filepath.Join(dir, "a.db"), clientv3.ErrNoAvailableEndpoints},
		"no directory":  {good, filepath.Join(dir, "none", "a.db"), fs.ErrNotExist},
		"a directory":   {good, dir, nil},
		"no name":       {good, "", nil},
	} {
		_, err := snapshot.SaveWithVersion(
			clienttest.Within(t, clienttest.Long),
			zap.NewNop(),
			clientv3.Config{Endpoints: test.endpoints},
			test.path,
		)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(err)
	}
	c := clienttest.Dial(t, good...)
	for name, o := range map[string]snapshot.Option{
		"a nil option":                 nil,
		"no attempts":                  snapshot.WithAttempts(0),
		"given up before it has begun": snapshot.WithStallTimeout(-1),
	} {
		if _, err := snapshot.Fetch(t.Context(), c, filepath.Join(dir, "a.db"), o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	only(t, dir)
}

// TestSnapshotSurvivesBrokenConnections breaks the connection in the middle, twice.
func TestSnapshotSurvivesBrokenConnections(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cl.Endpoints()...)
	fill(t, c)
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	last := snapshot.Progress{}
	info, err := snapshot.Fetch(
		clienttest.Within(t, clienttest.Long),
		c,
		path,
		snapshot.WithProgress(func(p snapshot.Progress) {
			if p.Attempt < 2 && p.Bytes > 1<<20 {
				cl.Members()[0].Proxy().Reset()
			}
			last = p
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if last.Attempt != 2 || last.Left != 0 || last.Bytes != info.Size || info.Size < 8<<20 {
		t.Errorf("%+v, %+v", last, info)
	}
	check(t, path)
	only(t, dir, "a.db")
}

// TestUnfinishedSnapshotLeavesNoFile: a snapshot that cannot be finished leaves no file, and an
// older file stays.
func TestUnfinishedSnapshotLeavesNoFile(t *testing.T) {
	for name, fault := range map[string]func(p *faultnet.Proxy){
		"cut":        func(p *faultnet.Proxy) { p.Cut() },
		"black hole": func(p *faultnet.Proxy) { p.BlackHole() },
	} {
		t.Run(name, func(t *testing.T) {
			cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			c := clienttest.Dial(t, cl.Endpoints()...)
			fill(t, c)
			dir := t.TempDir()
			path := filepath.Join(dir, "a.db")
			if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
			defer cancel()
			var began time.Time
			_, err := snapshot.Fetch(ctx, c, path, snapshot.WithProgress(func(p snapshot.Progress) {
				if began.IsZero() {
					began = time.Now()
					fault(cl.Members()[0].Proxy())
					time.AfterFunc(500*time.Millisecond, cancel)
				}
			}))
			if err != context.Canceled {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("ended %v after the fault", took)
			}
			only(t, dir, "a.db")
			if b, err := os.ReadFile(path); err != nil || string(b) != "before" {
				t.Errorf("the file that was there: %q, %v", b, err)
			}
		})
	}
}

// TestSnapshotBeginsAgainAfterASilence: after a server was silent for too long, the snapshot begins
// again when it is back.
func TestSnapshotBeginsAgainAfterASilence(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cl.Endpoints()...)
	fill(t, c)
	m := cl.Members()[0]
	path := filepath.Join(t.TempDir(), "a.db")
	frozen := false
	info, err := snapshot.Fetch(
		clienttest.Within(t, 2*clienttest.Long),
		c,
		path,
		snapshot.WithStallTimeout(time.Second),
		snapshot.WithProgress(func(p snapshot.Progress) {
			if !frozen {
				frozen = true
				if err := m.Freeze(); err != nil {
					t.Error(err)
				}
				time.AfterFunc(3*time.Second, func() { m.Thaw() })
			}
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", info)
	check(t, path)
}

// liar is a server that sends corrupt snapshots.
type liar struct {
	pb.UnimplementedMaintenanceServer
	chunks   [][]byte
	err      error
	attempts atomic.Int64
}

func (l *liar) Snapshot(_ *pb.SnapshotRequest, s grpc.ServerStreamingServer[pb.SnapshotResponse]) error {
	l.attempts.Add(1)
	for _, b := range l.chunks {
		if err := s.Send(&pb.SnapshotResponse{Blob: b}); err != nil {
			return err
		}
	}
	return l.err
}

func TestCorruptSnapshotsAreRefused(t *testing.T) {
	data := bytes.Repeat([]byte("etcd"), 1024)
	sum := sha256.Sum256(data)
	whole := append(append([]byte{}, data...), sum[:]...)
	for name, test := range map[string]struct {
		liar     *liar
		want     error
		code     codes.Code
		attempts int64
	}{
		"whole":          {&liar{chunks: [][]byte{whole}}, nil, codes.OK, 1},
		"in bytes":       {&liar{chunks: bytes.SplitAfter(whole, []byte("e"))}, nil, codes.OK, 1},
		"nothing":        {&liar{}, snapshot.ErrCorrupt, 0, 3},
		"only a digest":  {&liar{chunks: [][]byte{empty[:]}}, snapshot.ErrCorrupt, 0, 3},
		"without digest": {&liar{chunks: [][]byte{data}}, snapshot.ErrCorrupt, 0, 3},
		"cut short":      {&liar{chunks: [][]byte{whole[:2000]}}, snapshot.ErrCorrupt, 0, 3},
		"last byte gone": {&liar{chunks: [][]byte{whole[:len(whole)-1]}}, snapshot.ErrCorrupt, 0, 3},
		"a bit flipped":  {&liar{chunks: [][]byte{{data[0] ^ 1}, whole[1:]}}, snapshot.ErrCorrupt, 0, 3},
		"ends in an error": {
			&liar{chunks: [][]byte{whole}, err: status.Error(codes.Unavailable, "gone")}, nil, codes.Unavailable, 3,
		},
		"refused": {&liar{err: status.Error(codes.PermissionDenied, "no")}, nil, codes.PermissionDenied, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := grpc.NewServer()
			pb.RegisterMaintenanceServer(s, test.liar)
			go s.Serve(l)
			defer s.Stop()
			dir := t.TempDir()
			_, err = snapshot.Fetch(
				clienttest.Within(t, clienttest.Long),
				clienttest.Dial(t, l.Addr().String()),
				filepath.Join(dir, "a.db"),
				snapshot.WithAttempts(3),
			)
			if test.want != nil && !errors.Is(err, test.want) || test.want == nil && clientv3.Code(err) != test.code {
				t.Errorf("%v", err)
			}
			if n := test.liar.attempts.Load(); test.code != codes.Unavailable && n != test.attempts {
				t.Errorf("%d attempts, want %d", n, test.attempts)
			}
			if err == nil {
				only(t, dir, "a.db")
			} else {
				only(t, dir)
			}
		})
	}
}

var empty = sha256.Sum256(nil)
