package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/wholefile"
)

const (
	// targetsEvery is how often the views are compared with those in the file: mostly pointers are
	// compared.
	targetsEvery = 200 * time.Millisecond
	// namesEvery is how often the services that match a pattern are listed.
	namesEvery = 2 * time.Second
)

// targetFile writes Prometheus' file_sd. Only its own goroutine uses it.
//
// The file is replaced as a whole, only when it would differ, and only while all services are
// known: an old file, even of an earlier run, is better than half of a new one. Services that this
// user may not read in etcd are left out.
type targetFile struct {
	api      *api
	path     string
	patterns []string
	say      func(string)

	names   []string // nil before they are known
	listed  time.Time
	views   []*discovery.View // of the last step that wrote them
	sum     []byte            // of the file: its text is not kept in memory
	failure string
}

func (t *targetFile) run(ctx context.Context) {
	t.sum = sumOf(t.path) // if it cannot be read, the first list replaces it
	tick := time.NewTicker(targetsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		failure := ""
		if err := t.step(ctx); err != nil && ctx.Err() == nil {
			failure = err.Error()
		}
		if failure != "" && failure != t.failure {
			t.say("Prometheus' targets stay as they were: " + failure)
		}
		t.failure = failure
	}
}

// step brings the file up to date.
func (t *targetFile) step(ctx context.Context) error {
	if time.Since(t.listed) >= namesEvery {
		t.listed = time.Now()
		names, err := t.api.matching(ctx, t.patterns)
		if err != nil {
			return err
		}
		t.names = append([]string{}, names...)
	}
	if t.names == nil {
		return nil
	}
	views, unread := make([]*discovery.View, 0, len(t.names)), false
	for _, name := range t.names {
		one, err := t.api.feeds.at(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if v := one.View(); v != nil {
			views = append(views, v)
		} else if err := one.Status().Err; clientv3.Code(err) != codes.PermissionDenied {
			unread = true // not yet; meanwhile the others are being read
		}
	}
	if unread {
		return nil
	}
	if t.views != nil && slices.Equal(views, t.views) {
		return nil
	}
	if err := t.write(targetList{views: views}); err != nil {
		return err
	}
	t.views = views
	return nil
}

// errSame: the file has this text already.
var errSame = errors.New("agent: nothing has changed")

// write replaces the file, unless it would be the same.
func (t *targetFile) write(list targetList) error {
	sum := sha256.New()
	err := wholefile.Stream(t.path, 0o644, func(w io.Writer) error { // Prometheus runs as another user
		if err := list.encode(io.MultiWriter(w, sum)); err != nil {
			return err
		}
		if bytes.Equal(sum.Sum(nil), t.sum) {
			return errSame
		}
		return nil
	})
	if errors.Is(err, errSame) {
		return nil
	}
	if err == nil {
		t.sum = sum.Sum(nil)
	}
	return err
}

// sumOf returns the digest of a file; nil if it cannot be read.
func sumOf(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil
	}
	return sum.Sum(nil)
}
