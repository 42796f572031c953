package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/wholefile"
)

// stateVersion is the version of the file's layout; a file of another version is moved aside.
const stateVersion = 1

// record is a registration in the state file.
type record struct {
	Instance discovery.Instance `json:"instance"`
	TTL      int64              `json:"ttl"` // seconds
	Renewed  time.Time          `json:"renewed"`
}

func (r record) ttl() time.Duration { return time.Duration(r.TTL) * time.Second }

type stateFile struct {
	Version       int      `json:"version"`
	Registrations []record `json:"registrations"`
}

// state saves registrations in a file. A nil state saves nothing. Changes during a write are in the
// next file.
type state struct {
	path  string
	wake  chan struct{}
	ended chan struct{} // closed when the file was written for the last time

	mu      sync.Mutex
	next    chan struct{} // closed when a file has been written that has all changes up to now
	failure string        // the last reported error
}

func newState(path string) *state {
	return &state{path: path, wake: make(chan struct{}, 1), ended: make(chan struct{}), next: make(chan struct{})}
}

// load reads the file. A file that cannot be used (it makes no sense, is of another version or
// cannot be read) is moved aside, since the next file is written in its place. It replaces one that
// was moved aside before.
func (s *state) load(say func(string)) []record {
	if s == nil {
		return nil
	}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var f stateFile
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err == nil && f.Version != stateVersion {
		err = fmt.Errorf("its version is %d, not %d", f.Version, stateVersion)
	}
	if err != nil {
		then := "it is kept as " + s.path + ".bad"
		if err := os.Rename(s.path, s.path+".bad"); err != nil {
			then = "it could not be moved aside, and will be replaced: " + err.Error()
		}
		say(fmt.Sprintf("%s is not used: %v; %s", s.path, err, then))
		return nil
	}
	return f.Registrations
}

// changed has the file written soon; the returned channel is closed then.
func (s *state) changed() <-chan struct{} {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return s.next
}

// errEnding: the agent ends, and has written its state for the last time.
var errEnding = errors.New("agent: it is ending, and does not save this for its successor")

// stored waits until the file has all changes up to now, or could not be written, which is
// reported. It fails for a request that is cut off at the agent's end and comes too late for the
// last file.
func (s *state) stored(ctx context.Context) error {
	if s == nil {
		return nil
	}
	select {
	case <-s.changed():
		return nil
	case <-s.ended:
		return errEnding
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes the file when something has changed.
func (s *state) run(ctx context.Context, records func() []record, say func(string)) {
	if s == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		s.mu.Lock()
		done := s.next
		s.next = make(chan struct{})
		s.mu.Unlock()
		s.save(records(), say)
		close(done)
	}
}

// end fails the calls of stored that still wait.
func (s *state) end() {
	if s != nil {
		close(s.ended)
	}
}

func (s *state) save(list []record, say func(string)) {
	if s == nil {
		return
	}
	text, err := json.MarshalIndent(stateFile{Version: stateVersion, Registrations: list}, "", " ")
	if err == nil {
		err = wholefile.Write(s.path, text, 0o600)
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	if failure != "" && failure != s.failure {
		say("registrations would not survive a restart: " + failure)
	}
	s.failure = failure // run and stop never save at the same time
}
