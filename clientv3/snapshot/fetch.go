package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	// waitBase and waitMax bound the wait between attempts. While a member is away, the client
	// itself waits for it.
	waitBase = 100 * time.Millisecond
	waitMax  = 2 * time.Second
)

type fetch struct {
	progress func(Progress) // may be nil
	attempts int
	stall    time.Duration
	log      *zap.Logger
}

// into writes a snapshot into f. It makes several attempts if it must.
func (o *fetch) into(ctx context.Context, c *clientv3.Client, f *os.File) (Info, error) {
	wait := backoff.Policy{Base: waitBase, Max: waitMax}
	for n := 0; ; n++ {
		info, err := o.attempt(ctx, c, f, n)
		if err == nil {
			return info, nil
		}
		if ctx.Err() != nil {
			return Info{}, ctx.Err()
		}
		if n+1 >= o.attempts || !again(err) {
			return Info{}, err
		}
		o.log.Warn("snapshot begins again", zap.Int("attempt", n), zap.Error(err))
		if err := backoff.Sleep(ctx, wait.Wait(n)); err != nil {
			return Info{}, err
		}
	}
}

// again reports whether another attempt may succeed.
func again(err error) bool {
	switch {
	case errors.Is(err, clientv3.ErrClosed):
		return false
	case errors.Is(err, ErrCorrupt), errors.Is(err, errStalled):
		return true
	}
	switch clientv3.Code(err) {
	case codes.Unavailable, codes.Internal, codes.Aborted, codes.DataLoss, codes.Canceled:
		return true
	}
	return false
}

func (o *fetch) attempt(ctx context.Context, c *clientv3.Client, f *os.File, n int) (Info, error) {
	if err := f.Truncate(0); err != nil {
		return Info{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Info{}, err
	}
	actx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var stalled *time.Timer
	stream, err := clientv3.RetryMaintenanceClient(c, nil).Snapshot(actx, &pb.SnapshotRequest{})
	if err != nil {
		return Info{}, clientv3.ContextError(ctx, err)
	}
	if o.stall > 0 {
		stalled = time.AfterFunc(o.stall, func() { cancel(errStalled) })
		defer stalled.Stop()
	}
	info := Info{}
	sum := digest{hash: sha256.New()}
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			if cause := context.Cause(actx); cause == errStalled {
				return Info{}, fmt.Errorf("snapshot after %d bytes: %w", info.Size, cause)
			}
			return Info{}, clientv3.ContextError(ctx, err)
		}
		if stalled != nil {
			stalled.Reset(o.stall)
		}
		if info.Version == "" {
			info.Version = m.Version
		}
		sum.write(m.Blob)
		written, err := f.Write(m.Blob)
		info.Size += int64(written)
		if err != nil {
			return Info{}, err
		}
		if o.progress != nil {
			o.progress(Progress{Attempt: n, Bytes: info.Size, Left: int64(m.RemainingBytes)})
		}
	}
	if info.Size <= sha256.Size || !sum.matches() {
		return Info{}, fmt.Errorf("snapshot of %d bytes: %w", info.Size, ErrCorrupt)
	}
	return info, f.Sync()
}

// digest hashes all bytes but the last, which are the server's hash.
type digest struct {
	hash hash.Hash
	tail []byte // at most sha256.Size
}

func (d *digest) write(b []byte) {
	all := append(d.tail, b...)
	rest := max(len(all)-sha256.Size, 0)
	d.hash.Write(all[:rest])
	d.tail = append(d.tail[:0], all[rest:]...)
}

func (d *digest) matches() bool { return bytes.Equal(d.hash.Sum(nil), d.tail) }
