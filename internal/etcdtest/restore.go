package etcdtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// RestoreSnapshot goes back to a backup as an operator does. It stops all members, replaces their
// data by the restored snapshot file, and starts them again at their addresses, as a cluster of the
// given token. It does not wait until they serve.
func (c *Cluster) RestoreSnapshot(ctx context.Context, file, token string) error {
	utl, err := CtlBinary("etcdutl")
	if err != nil {
		return err
	}
	for _, m := range c.members {
		m.Kill()
	}
	for _, m := range c.members {
		if err := os.RemoveAll(m.DataDir); err != nil {
			return fmt.Errorf("etcdtest: %w", err)
		}
		out, err := exec.CommandContext(ctx, utl, "snapshot", "restore", file, "--data-dir="+m.DataDir,
			"--name="+m.Name,
			"--initial-cluster="+c.initialCluster(),
			"--initial-cluster-token="+token, "--initial-advertise-peer-urls="+m.PeerURL).
			CombinedOutput()
		if err != nil {
			return fmt.Errorf("etcdtest: restore %s: %w\n%s", m.Name, err, out)
		}
	}
	for _, m := range c.members {
		err = errors.Join(err, m.start())
	}
	return err
}

// Token is the token that the cluster was made with. A cluster that is restored with the same token
// has the same id.
func (c *Cluster) Token() string { return c.dir }

// SnapshotRevision returns the revision of the store in a snapshot file.
func SnapshotRevision(ctx context.Context, file string) (int64, error) {
	utl, err := CtlBinary("etcdutl")
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, utl, "snapshot", "status", file, "--write-out=json").Output()
	if err != nil {
		return 0, fmt.Errorf("etcdtest: read a snapshot: %w", err)
	}
	var status struct{ Revision int64 }
	if err := json.Unmarshal(out, &status); err != nil {
		return 0, fmt.Errorf("etcdtest: read a snapshot: %w", err)
	}
	return status.Revision, nil
}
