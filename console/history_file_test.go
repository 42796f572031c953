package console

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/doctor"
)

// inCluster sets the cluster of the members.
func inCluster(f *doctor.Facts, id uint64) *doctor.Facts {
	for _, m := range f.Members {
		m.URLs[0].Status.Header.ClusterId = id
	}
	return f
}

// remembered returns a memory of twenty minutes, in a file.
func remembered(t *testing.T) (m *memory, path string, at time.Time) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "history.json")
	m = newMemory()
	if err := m.load(path); err != nil {
		t.Fatal(err)
	}
	var seen onsets
	for n := range int64(240) {
		at = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 5 * time.Second)
		f := inCluster(measured(at, 1+50*n, 10<<20+n*1024), 7)
		if n > 200 {
			f.Members[2].URLs[0].Status = nil
		}
		m.add(f, seen.health(f))
	}
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	return m, path, at
}

// TestMemoryInAFile: a memory that loads another's file continues from it.
func TestMemoryInAFile(t *testing.T) {
	m, path, at := remembered(t)
	next := newMemory()
	if err := next.load(path); err != nil {
		t.Fatal(err)
	}
	for _, s := range [][2]*stretch{{&m.hour, &next.hour}, {&m.day, &next.day}} {
		if was, is := m.recall(s[0]), next.recall(s[1]); !reflect.DeepEqual(was, is) {
			t.Errorf("it was %+v\nand is %+v", was, is)
		}
	}
	// A finding that is still there is not a new one, and the changes between count.
	f := inCluster(measured(at.Add(100*time.Second), 1+50*239+5000, 11<<20), 7)
	f.Members[2].URLs[0].Status = nil
	var seen onsets
	next.add(f, seen.health(f))
	if n, was := len(next.events), len(m.events); n != was {
		t.Errorf("%d events more: %+v", n-was, next.events)
	}
	r := next.recall(&next.hour)
	if last := r.Changes[len(r.Changes)-1]; last == nil || *last < 49.9 || *last > 50.1 {
		t.Errorf("changes since the file: %v", last)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestMemoryOfAnotherCluster: it is dropped.
func TestMemoryOfAnotherCluster(t *testing.T) {
	_, path, at := remembered(t)
	m := newMemory()
	if err := m.load(path); err != nil {
		t.Fatal(err)
	}
	var seen onsets
	f := inCluster(measured(at.Add(time.Minute), 3, 1000), 8)
	m.add(f, seen.health(f))
	if r := m.recall(&m.day); len(r.At) != 1 || r.Changes[0] != nil || len(r.Events) != 1 ||
		!strings.Contains(r.Events[0].Text, "another cluster") {
		t.Errorf("%+v", r)
	}
}

// TestBadHistoryFiles: none is overwritten or taken for an empty file.
func TestBadHistoryFiles(t *testing.T) {
	_, path, _ := remembered(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cut short": string(good[:len(good)/2]), "empty": "",
		"of another form": strings.Replace(string(good), `"form":1`, `"form":2`, 1),
		"something else":  `[1,2,3]`, "out of order": strings.Replace(string(good), `"slot":`, `"slot":9`, 1),
		"binary": "\x00\xff",
		"huge":   strings.Repeat(" ", fileMost+1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := newMemory().load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if is, err := os.ReadFile(path); err != nil || string(is) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	for _, bad := range []string{filepath.Join(path, "below-a-file"), filepath.Join(t.TempDir(), "no", "directory")} {
		if err := newMemory().load(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestHistoryThatCannotBeWritten: that is reported once, and once more when it works again.
func TestHistoryThatCannotBeWritten(t *testing.T) {
	m, path, at := remembered(t)
	before := len(m.events)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	saved := at
	for range 3 {
		at = at.Add(saveEvery)
		m.keepOn(at, &saved, false)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	m.keepOn(at.Add(time.Second), &saved, false) // not yet
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was written within a minute: %v", err)
	}
	m.keepOn(at.Add(time.Second), &saved, true)
	if n := len(m.events) - before; n != 2 || m.events[before].Kind != "begun" || m.events[before+1].Kind != "over" {
		t.Errorf("%+v", m.events[before:])
	}
}
