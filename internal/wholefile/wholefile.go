// Package wholefile replaces files as a whole.
package wholefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Write writes a file so that a reader finds the old file or the new one, never a part, even after
// a crash. On failure the old file stays.
func Write(path string, text []byte, mode fs.FileMode) error {
	return Stream(path, mode, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// Stream is Write for the output of write, which is not held in memory. If write fails, Stream
// returns that error, and the old file stays.
func Stream(path string, mode fs.FileMode, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	if err = write(tmp); err == nil {
		err = errors.Join(tmp.Chmod(mode), tmp.Sync())
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
