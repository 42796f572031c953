// Package snapshot saves a member's database to a file, from which etcdutl can
// restore a cluster.
//
// A file of the given name is always a whole snapshot. The data are written to another file in the
// same directory, NAME.*.part; when the digest is verified and the data are safely on the disk,
// that file is renamed. A failure leaves no file behind, and does not change an older file of that
// name. Only a process that is killed leaves its part file.
//
// A server cannot continue a snapshot, so a snapshot that breaks off begins again.
//
// All functions are safe for concurrent use, even for the same file; the last one wins.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/wholefile"
)

// ErrCorrupt is the cause (errors.Is) of the error for a snapshot that is cut short or does not fit
// its digest.
var ErrCorrupt = errors.New("the snapshot does not match its digest")

// errStalled is the cause when an attempt that received nothing is given up.
var errStalled = errors.New("the server stopped sending")

const (
	// attempts is the default of [WithAttempts].
	attempts = 5
	// stall is the default of [WithStallTimeout]. A server that defragments sends nothing
	// meanwhile.
	stall = 30 * time.Second
)

// Info describes a saved snapshot.
type Info struct {
	// Version is the version of the server's storage, such as "3.7.0". It is empty from servers
	// before 3.6, and in the first seconds after a server's start, while the StorageVersion in
	// [clientv3.StatusResponse] is empty or below 3.6. The snapshot is whole in any case.
	Version string
	Size    int64 // of the file in bytes, with the digest of 32 bytes at its end
}

// Progress says how far a snapshot is.
type Progress struct {
	Attempt int   // the number of the attempt, from 0
	Bytes   int64 // written in this attempt
	Left    int64 // still to come, by the server's count, without the digest
}

// Option changes what Fetch does.
type Option func(*fetch)

// WithProgress calls f after each chunk, of at most some 64 KiB, from the goroutine
// of Fetch.
func WithProgress(f func(Progress)) Option { return func(o *fetch) { o.progress = f } }

// WithAttempts sets how many attempts [Fetch] makes when connections break or the data are corrupt,
// 1 or more; 5 by default.
func WithAttempts(n int) Option { return func(o *fetch) { o.attempts = n } }

// WithStallTimeout sets after how long without a byte [Fetch] gives an attempt up; 30 s by default.
// 0: never.
func WithStallTimeout(d time.Duration) Option { return func(o *fetch) { o.stall = d } }

// WithLogger sets the logger for failed attempts, a line for each. By default nothing is logged.
func WithLogger(lg *zap.Logger) Option {
	return func(o *fetch) {
		if lg != nil {
			o.log = lg
		}
	}
}

// Save is [SaveWithVersion] without the version; older clients have only this one.
func Save(ctx context.Context, lg *zap.Logger, cfg clientv3.Config, dbPath string) error {
	_, err := SaveWithVersion(ctx, lg, cfg, dbPath)
	return err
}

// SaveWithVersion saves a snapshot of the member that cfg names, by exactly one endpoint, and
// returns the server's version. That is empty before 3.6 and in the first seconds after a server's
// start. See [Info] and [Fetch]. lg may be nil; it is also the client's logger unless cfg has one.
func SaveWithVersion(ctx context.Context, lg *zap.Logger, cfg clientv3.Config, dbPath string) (string, error) {
	if len(cfg.Endpoints) > 1 {
		return "", fmt.Errorf("a snapshot is taken of one member, not of several: %v", cfg.Endpoints)
	}
	if cfg.Logger == nil {
		cfg.Logger = lg
	}
	c, err := clientv3.New(cfg)
	if err != nil {
		return "", err
	}
	defer c.Close()
	info, err := Fetch(ctx, c, dbPath, WithLogger(lg))
	return info.Version, err
}

// Fetch saves a snapshot of any of c's members; each attempt may get another one. It begins again
// when the connection breaks, when nothing arrives for some time, and when the digest is wrong.
// While no member is available it waits, as long as ctx lasts. Symbolic links stay and lead to the
// new file; what is there and is no regular file, such as /dev/stdout, is an error. Errors are
// those of clientv3, those of files, and [ErrCorrupt].
func Fetch(ctx context.Context, c *clientv3.Client, dbPath string, opts ...Option) (Info, error) {
	o := &fetch{attempts: attempts, stall: stall, log: zap.NewNop()}
	for _, opt := range opts {
		if opt == nil {
			return Info{}, errors.New("snapshot: an option is nil")
		}
		opt(o)
	}
	if o.attempts < 1 || o.stall < 0 {
		return Info{}, fmt.Errorf("snapshot: %d attempts, given up after %v without a byte", o.attempts, o.stall)
	}
	if dbPath == "" {
		return Info{}, errors.New("the snapshot has no file name")
	}
	dbPath, err := wholefile.Target(dbPath)
	if err != nil {
		return Info{}, err
	}
	dir, name := filepath.Split(dbPath)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, name+".*.part")
	if err != nil {
		return Info{}, err
	}
	info, err := o.into(ctx, c, f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), dbPath)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return Info{}, err
	}
	return info, syncDir(dir)
}

// syncDir makes a renaming in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
