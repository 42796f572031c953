package etcdtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// CtlBinary returns the path of etcd's own command line program, "etcdctl" or "etcdutl", of the
// version that tools/etcdctl pins. It builds the program first if the cache does not hold it. Tests
// compare our program with it. Several processes may call it at once.
func CtlBinary(name string) (string, error) {
	root, err := checkout()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "tools", "etcdctl")
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return "", fmt.Errorf("etcdtest: %w", err)
		}
		h.Write(text)
	}
	return cached(fmt.Sprintf("%s-%x", name, h.Sum(nil)[:8]), func(out string) error {
		ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "go.etcd.io/etcd/"+name+"/v3")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build in %s: %w\n%s", dir, err, text)
		}
		return nil
	})
}
