package discovery

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/internal/wholefile"
)

const (
	// fileAfter is how long etcd may take to answer before a file is used.
	fileAfter = time.Second
	// saveAgain is the time between tries to write a file, on a full disk for example.
	saveAgain = 10 * time.Second
)

// store keeps a service's instances in a file.
type store struct {
	path  string
	dirty atomic.Bool

	// The goroutine of run's own.
	failure string    // of the last try to write
	next    time.Time // no earlier try after a failure, except at the end
}

// fileRecord is the content of a file.
type fileRecord struct {
	Service   string               `json:"service"`
	At        time.Time            `json:"at"`
	Revision  int64                `json:"revision"`
	Instances map[string]*Instance `json:"instances"` // by key, as they are shown
	Split     Split                `json:"split,omitempty"`
	Limits    Limits               `json:"limits,omitzero"`
}

func newStore(dir, service string) *store {
	return &store{path: filepath.Join(dir, url.PathEscape(service)+".json")}
}

// due reports whether there is something to save.
func (s *store) due() bool { return s != nil && s.dirty.Load() && !time.Now().Before(s.next) }

// save writes the file if something has changed.
func (s *store) save(f *feed) {
	v := f.view.Load()
	if v == nil || v.revision == 0 || !s.dirty.Swap(false) {
		return
	}
	rec := fileRecord{
		Service:   f.service,
		At:        time.Now().Add(-f.age()).UTC(),
		Revision:  v.revision,
		Instances: make(map[string]*Instance, v.Len()),
		Split:     v.split,
		Limits:    v.limits,
	}
	v.tree.Scan(func(key string, in *Instance) bool {
		if !isTwin(key) {
			rec.Instances[key] = in
		}
		return true
	})
	failure := ""
	if err := s.write(rec); err != nil {
		s.dirty.Store(true)
		s.next = time.Now().Add(saveAgain)
		if failure = err.Error(); failure != s.failure {
			f.problem("", err)
		}
	}
	s.failure = failure
}

func (s *store) write(rec fileRecord) error {
	data, err := json.MarshalIndent(rec, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return err
	}
	return wholefile.Write(s.path, data, 0o600)
}

// fromFile gives the feed its first view from a file, if there is one.
func (f *feed) fromFile() {
	if f.store == nil || f.view.Load() != nil {
		return
	}
	data, err := os.ReadFile(f.store.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var rec fileRecord
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err == nil && rec.Service != f.service {
		err = errors.New("it is about another service")
	}
	if err != nil {
		f.problem(f.store.path, err)
		return
	}
	if rec.Split.Validate() == nil && rec.Limits.Validate() == nil {
		f.control = &Control{Split: rec.Split, Limits: rec.Limits}
	}
	c := f.begin()
	if rec.At.Before(c.now) { // by the wall clock: processes share no other, and it may have been set back
		c.now = rec.At
	}
	for key, in := range rec.Instances {
		if in != nil && in.Validate() == nil {
			in.Cluster = f.cluster.name
			c.put(key, in)
		}
	}
	c.publish(0, true)
	f.store.dirty.Store(false)
}
