package etcdtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// VersionEnv is the environment variable with the server's version, for tests that leave
// Options.Version empty.
const VersionEnv = "FAIRLEAD_ETCD_VERSION"

// defaultVersion is the version of the server whose API the client implements.
const defaultVersion = "3.7"

// buildTimeout bounds a build from an empty cache, downloads included, on a slow and busy machine.
const buildTimeout = 10 * time.Minute

// source returns the directory of a version's main package, below the checkout's root. Version 3.4
// has none: its modules do not build through the module proxy, so its binary comes from Debian.
func source(version string) (dir string, ok bool) {
	switch version {
	case "3.7":
		return "tools/etcd", true
	case "3.6":
		return "tools/etcd36", true
	case "3.5":
		return "tools/etcd35", true
	}
	return "", false
}

// Binary returns the path of the etcd server of a version, "3.4" to "3.7". For "" the version is
// that of the environment variable FAIRLEAD_ETCD_VERSION, or else 3.7. Binary builds the server
// first if the cache does not hold it. Several processes may call it at once: one builds, the
// others wait.
func Binary(version string) (string, error) {
	version = resolveVersion(version)
	if version == "3.4" {
		return debianBinary()
	}
	dir, ok := source(version)
	if !ok {
		return "", fmt.Errorf("etcdtest: no etcd server of version %q: have 3.4, 3.5, 3.6, 3.7", version)
	}
	root, err := checkout()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(root, dir)
	hash, err := sourceHash(dir)
	if err != nil {
		return "", err
	}
	return cached("etcd-"+version+"-"+hash, func(out string) error {
		ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, ".")
		cmd.Dir = dir
		// The workspace is off, so that the server is built from the versions that its own go.mod
		// pins, not from the client's.
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build in %s: %w\n%s", dir, err, text)
		}
		return nil
	})
}

func resolveVersion(version string) string {
	if version == "" {
		version = os.Getenv(VersionEnv)
	}
	if version == "" {
		version = defaultVersion
	}
	return strings.TrimPrefix(version, "v")
}

// debianBinary extracts the server from Debian's package without installing the package.
func debianBinary() (string, error) {
	return cached("etcd-3.4-debian", func(out string) error {
		tmp, err := os.MkdirTemp(filepath.Dir(out), "deb-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		// Some releases of Debian ship the server in the package etcd-server, others in the package
		// etcd.
		script := `apt-get download etcd-server || apt-get download etcd; dpkg -x ./*.deb x`
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = tmp
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf(
				"etcd 3.4 comes from Debian's package etcd-server, which could not be had: %w\n%s",
				err,
				text,
			)
		}
		bin := filepath.Join(tmp, "x", "usr", "bin", "etcd")
		text, err := exec.Command(bin, "--version").Output()
		if err != nil {
			return fmt.Errorf("run %s: %w", bin, err)
		}
		if !strings.Contains(string(text), "etcd Version: 3.4.") {
			return fmt.Errorf("this Debian's etcd is not 3.4: %s", text)
		}
		return os.Rename(bin, out)
	})
}

// cached returns the path of an executable in the cache. If the cache does not hold it, make writes
// it to a temporary path first and cached renames that, so that a half-written file is never run.
func cached(name string, make func(out string) error) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		// Some containers do not set HOME. A cache in the temporary directory, which the next run
		// may find empty, is better than none.
		dir = filepath.Join(os.TempDir(), "cache")
	}
	dir = filepath.Join(dir, "fairlead")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("etcdtest: %w", err)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return "", fmt.Errorf("etcdtest: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	tmp := path + ".new"
	defer os.Remove(tmp)
	if err := make(tmp); err != nil {
		return "", fmt.Errorf("etcdtest: make %s: %w", name, err)
	}
	return path, os.Rename(tmp, path)
}

// lockFile waits for an exclusive lock between processes. The kernel releases the lock when its
// holder ends, so no lock is ever stale.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// checkout finds the repository: first above the working directory, which is that of the tested
// package, then above the directory that this file was compiled from.
func checkout() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("etcdtest: %w", err)
	}
	starts := []string{wd}
	if _, file, _, ok := runtime.Caller(0); ok {
		starts = append(starts, filepath.Dir(file))
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "tools", "etcd", "main.go")); err == nil {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("etcdtest: no checkout of fairlead (tools/etcd/main.go) above %s", wd)
}

// sourceHash hashes the files that a build depends on, so that a changed pin leads to a new binary.
func sourceHash(dir string) (string, error) {
	mod := dir
	if _, err := os.Stat(filepath.Join(mod, "go.mod")); err != nil {
		mod = filepath.Dir(dir)
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, file := range []string{
		filepath.Join(mod, "go.mod"), filepath.Join(mod, "go.sum"), filepath.Join(dir, "main.go"),
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("etcdtest: %w", err)
		}
		h.Write(text)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}
