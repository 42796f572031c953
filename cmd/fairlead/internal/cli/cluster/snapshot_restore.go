package cluster

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

const restoreHelp = `Make the data directory of a member of a new cluster from a snapshot, as etcdutl does. No running
cluster is asked. Run it once for each member, with the same file, the same --initial-cluster and
--initial-cluster-token, and the member's own --name and --initial-advertise-peer-urls. Then start
the members with the same flags and these directories.

Revisions go on from that of the snapshot, so clients that watch would not notice what was lost.
With --bump-revision 1000000000 --mark-compacted revisions go on above all that the old cluster may
have reached, and watches end, so that their programs list again.

A directory that exists is refused. When the command fails it leaves none.`

// The defaults are etcdutl's.
const (
	restoreName  = "default"
	restorePeers = "http://localhost:2380"
	restoreToken = "etcd-cluster"
)

type restoreFlags struct {
	cfg     snapshot.RestoreConfig
	peers   string
	timeout time.Duration
}

func (f *restoreFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.cfg.OutputDataDir, "data-dir", "", "the directory to make (default: NAME.etcd)")
	fs.StringVar(&f.cfg.OutputWALDir, "wal-dir", "", "where the write-ahead log goes, if not into the data directory")
	fs.StringVar(&f.cfg.Name, "name", restoreName, "the member's name")
	fs.StringVar(
		&f.cfg.InitialCluster,
		"initial-cluster",
		restoreName+"="+restorePeers,
		"all members of the new cluster, NAME=URL,...",
	)
	fs.StringVar(
		&f.cfg.InitialClusterToken,
		"initial-cluster-token",
		restoreToken,
		"a name for the new cluster, so that its members cannot mix with those of another",
	)
	fs.StringVar(
		&f.peers,
		"initial-advertise-peer-urls",
		restorePeers,
		"where the other members reach this one, separated by commas",
	)
	fs.BoolVar(
		&f.cfg.SkipHashCheck,
		"skip-hash-check",
		false,
		"accept a file without a digest, like a copy of a member's database",
	)
	fs.Uint64Var(
		&f.cfg.InitialMmapSize,
		"initial-memory-map-size",
		backend.InitialMmapSize,
		"how many bytes of the database to map into memory at first",
	)
	fs.Uint64Var(&f.cfg.RevisionBump, "bump-revision", 0, "raise the revision by this much")
	fs.BoolVar(
		&f.cfg.MarkCompacted,
		"mark-compacted",
		false,
		"end all watches of older revisions (goes with --bump-revision)",
	)
	registerLockTimeout(fs, &f.timeout)
}

// config makes the configuration for a file from the flags.
func (f *restoreFlags) config(file string) (snapshot.RestoreConfig, error) {
	cfg := f.cfg
	cfg.SnapshotPath = file
	cfg.PeerURLs = strings.Split(f.peers, ",")
	if (cfg.RevisionBump > 0) != cfg.MarkCompacted {
		return cfg, command.Usage(
			errors.New("--bump-revision and --mark-compacted belong together: give both or neither"),
		)
	}
	if cfg.Name == "" {
		return cfg, command.Usage(errors.New("--name must not be empty"))
	}
	if cfg.OutputDataDir == "" {
		cfg.OutputDataDir = cfg.Name + ".etcd"
	}
	return cfg, nil
}

func snapshotRestoreCommand(a *command.App) *cobra.Command {
	var f restoreFlags
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a member's data directory from a snapshot file",
		Example: "  fairlead snapshot restore backup.db --data-dir m1.etcd --name m1 --initial-cluster " +
			"m1=http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380",
		Long: restoreHelp,
		Args: command.OneArg("a file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.NeedsNoMessage(); err != nil {
				return err
			}
			cfg, err := f.config(args[0])
			if err != nil {
				return err
			}
			return restore(a, cfg, f.timeout)
		},
	}
	f.register(c.Flags())
	return c
}

func restore(a *command.App, cfg snapshot.RestoreConfig, timeout time.Duration) error {
	if err := checkDatabase(cfg.SnapshotPath, timeout); err != nil {
		return err
	}
	// If the library fails, only directories that it made are removed.
	made := make([]string, 0, 2)
	for _, dir := range []string{cfg.OutputDataDir, cfg.OutputWALDir} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(dir); err == nil {
			return fmt.Errorf("%s exists: a restored member needs a directory of its own", dir)
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		made = append(made, dir)
	}
	logger := zap.NewNop()
	if a.Conn.Debug {
		var err error
		if logger, err = zap.NewDevelopment(); err != nil {
			return err
		}
	}
	defer a.Wait("restoring").Stop()
	if err := snapshot.NewV3(logger).Restore(cfg); err != nil {
		for _, dir := range made {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return fmt.Errorf("restore %s: %w", cfg.SnapshotPath, err)
	}
	p := a.Printer()
	v := struct {
		DataDir string `json:"dataDir"`
		Name    string `json:"name"`
	}{cfg.OutputDataDir, cfg.Name}
	return p.Print(v, func() {
		fmt.Fprintf(p, "Member %s restored in %s\n", v.Name, v.DataDir)
	}, func() ([]string, [][]string) {
		return []string{"MEMBER", "DATA DIRECTORY"}, [][]string{{v.Name, v.DataDir}}
	})
}
