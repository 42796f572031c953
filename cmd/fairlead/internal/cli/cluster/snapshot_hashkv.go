package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

type fileHash struct {
	Hash            uint32 `json:"hash"`
	HashRevision    int64  `json:"hashRevision"`
	CompactRevision int64  `json:"compactRevision"`
}

// Fields writes the hash with the names of etcdctl and etcdutl.
func (h fileHash) Fields(p *command.Printer) {
	p.Field("Hash", h.Hash)
	p.Field("Hash revision", h.HashRevision)
	p.Field("Compact revision", h.CompactRevision)
}

func snapshotHashKVCommand(a *command.App) *cobra.Command {
	var rev int64
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "hashkv FILE",
		Short:   "Hash the keys of a snapshot file, to compare it with members",
		Example: "  fairlead snapshot hashkv backup.db --rev 4711\n  fairlead endpoint hashkv --cluster --rev 4711",
		Long: `Hash the keys of a snapshot, or of a copy of a member's database, with their history, as "endpoint
hashkv" does for a member and "etcdutl hashkv" for a file. A file and a member have the same hash at
the same revision if both were compacted at the same one. The file does not change: the command
works on a copy beside it, which needs as much room and is removed at the end.`,
		Args: command.OneArg("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.NeedsNoMessage(); err != nil {
				return err
			}
			if rev < 0 {
				return command.Usage(fmt.Errorf("--rev %d is negative", rev))
			}
			bar := a.Wait("hashing")
			defer bar.Stop()
			h, err := hashFile(cmd.Context(), args[0], rev, timeout)
			if err != nil {
				return err
			}
			bar.Stop()
			return printFileHash(a.Printer(), h)
		},
	}
	c.Flags().Int64Var(&rev, "rev", 0, "up to this revision (0: the latest)")
	registerLockTimeout(c.Flags(), &timeout)
	return c
}

// hashFile opens a copy: the server's storage writes to a file that it opens, and a changed
// snapshot does not match its digest any more.
func hashFile(ctx context.Context, path string, rev int64, timeout time.Duration) (none fileHash, _ error) {
	if err := checkDatabase(path, timeout); err != nil {
		return none, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".hashkv-*")
	if err != nil {
		return none, fmt.Errorf("make a copy of the file: %w", err)
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "db")
	if err := copyFile(ctx, copied, path); err != nil {
		return none, fmt.Errorf("make a copy of the file: %w", err)
	}
	log := zap.NewNop()
	conf := backend.DefaultBackendConfig(log)
	conf.Path, conf.UnsafeNoFsync = copied, true
	db := backend.New(conf)
	defer db.Close()
	// Leases are no part of the hash.
	store := mvcc.NewStore(log, db, &lease.FakeLessor{}, mvcc.StoreConfig{})
	defer store.Close()
	h, _, err := mvcc.NewHashStorage(log, store).HashByRev(rev)
	if err != nil {
		return none, fmt.Errorf("hash %s: %w", path, err)
	}
	return fileHash{h.Hash, h.Revision, h.CompactRevision}, nil
}

func copyFile(ctx context.Context, to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for err == nil {
		if err = context.Cause(ctx); err == nil {
			_, err = io.CopyN(out, in, 16<<20)
		}
	}
	if cerr := out.Close(); err == io.EOF {
		err = cerr
	}
	return err
}

func printFileHash(p *command.Printer, h fileHash) error {
	row := []string{fmt.Sprint(h.Hash), fmt.Sprint(h.HashRevision), fmt.Sprint(h.CompactRevision)}
	return p.Print(h, func() {
		fmt.Fprintf(p, "%s, %s, %s\n", row[0], row[1], row[2])
	}, func() ([]string, [][]string) {
		return []string{"HASH", "HASH REVISION", "COMPACT REVISION"}, [][]string{row}
	})
}
