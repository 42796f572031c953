package wholefile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, text := range []string{"a", "", "another one"} {
		if err := Write(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	// A directory in the way: what cannot be replaced stays, and nothing else is left.
	blocked := filepath.Join(dir, "blocked", "inside")
	if err := os.MkdirAll(blocked, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Dir(blocked), []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if err := Write(filepath.Join(dir, "nowhere", "file"), nil, 0o600); err == nil {
		t.Error("there is no such directory")
	}
	failure := errors.New("half of it")
	if err := Stream(path, 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, failure)
	}); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "another one" {
		t.Errorf("%q, %v", got, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// TestWriteThroughLinks: links stay, and what is no regular file is not replaced.
func TestWriteThroughLinks(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, []byte("old"), 0o600), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
	// A link to a file that is yet to be made, through a directory that is a link too.
	sub, through, early := filepath.Join(dir, "real", "sub"), filepath.Join(dir, "through"), filepath.Join(dir, "early")
	if err := errors.Join(os.MkdirAll(sub, 0o755), os.Symlink(sub, through),
		os.Symlink("../made", filepath.Join(sub, "next")), os.Symlink("through/next", early)); err != nil {
		t.Fatal(err)
	}
	if err := Write(early, []byte("made"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "real", "made")); err != nil || string(got) != "made" {
		t.Errorf("%q, %v", got, err)
	}
	round := filepath.Join(dir, "round")
	if err := os.Symlink("round", round); err != nil {
		t.Fatal(err)
	}
	if err := Write(round, nil, 0o600); err == nil {
		t.Error("a link to itself was replaced")
	}
	device := filepath.Join(dir, "device")
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{device, dir} {
		if err := Write(path, []byte("new"), 0o600); err == nil {
			t.Errorf("%s was replaced", path)
		}
	}
	for _, path := range []string{link, early, round, device} {
		if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v, %v", path, info, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 7 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// On a full disk every try fails with the same text, so that it is reported once: the temporary
// name is not in it.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for range 2 {
		err := Stream(path, 0o600, func(w io.Writer) error {
			return &os.PathError{Op: "write", Path: w.(*os.File).Name(), Err: syscall.ENOSPC} // as os does
		})
		if want := "write " + path + ": " + syscall.ENOSPC.Error(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
