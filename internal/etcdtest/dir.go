package etcdtest

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// workDir first removes the directories whose owners are gone, then makes the directory of one
// cluster. A test binary that is killed or panics cannot clean up, and 64 MiB of log files per
// member add up.
//
// Each directory holds a file that its owner keeps locked; the kernel releases the lock when the
// owner ends. The lock on the common base has two purposes. A new directory is not taken for an
// abandoned one before its own file is locked, and nobody makes that file again in a directory
// whose owner is removing it.
func workDir() (dir string, remove func() error, err error) {
	base := filepath.Join(os.TempDir(), fmt.Sprintf("fairlead-etcdtest-%d", os.Getuid()))
	if err := os.MkdirAll(base, 0o777); err != nil {
		return "", nil, err
	}
	unlock, err := lockFile(filepath.Join(base, "lock"))
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	sweep(base)
	dir, err = os.MkdirTemp(base, "c")
	if err != nil {
		return "", nil, err
	}
	release, err := lockFile(filepath.Join(dir, "owner"))
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() error {
		defer release()
		unlock, err := lockFile(filepath.Join(base, "lock"))
		if err != nil {
			return err
		}
		defer unlock()
		return os.RemoveAll(dir)
	}, nil
}

func sweep(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, "c*"))
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, "owner"), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(dir)
		}
		f.Close()
	}
}
