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

// maxLinks is how many symbolic links lead to a file at most, as in Linux.
const maxLinks = 40

// Target returns the file that a new file at path replaces: where symbolic links lead, so that they
// stay. It fails if that is there and is no regular file: to rename a file to /dev/stdout takes it
// away from all programs of the machine, and others wait at a pipe that is replaced.
func Target(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return unmade(path)
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", &fs.PathError{Op: "replace", Path: path, Err: errors.New("not a regular file")}
	}
	return filepath.EvalSymlinks(path)
}

// unmade returns the file to be made for a path at which there is none: the end of symbolic links
// that lead to nothing, which stay too.
func unmade(path string) (string, error) {
	for range maxLinks {
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link
		}
		if !filepath.IsAbs(to) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path)) // before a ".." in the link
			if err != nil {
				return "", err
			}
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", &fs.PathError{Op: "replace", Path: path, Err: errors.New("too many symbolic links")}
}

// Stream is Write for the output of write, which is not held in memory. If write fails, Stream
// returns that error, and the old file stays.
func Stream(path string, mode fs.FileMode, write func(io.Writer) error) error {
	path, err := Target(path)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return &fs.PathError{Op: "create", Path: path, Err: failed.Err} // without the temporary name
	}
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
		if errors.As(err, &failed) && failed.Path == tmp.Name() {
			failed.Path = path // so that callers see that a failure, of a full disk say, is still the same
		}
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
