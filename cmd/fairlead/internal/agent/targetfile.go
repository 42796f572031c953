package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/wholefile"
)

const (
	// targetsEvery is how often the views are compared with those that the file has: pointers,
	// mostly.
	targetsEvery = 200 * time.Millisecond
	// namesEvery is how often the services are listed that a pattern names; namesWithin is how long
	// etcd has for that.
	namesEvery, namesWithin = 2 * time.Second, time.Second
)

// targetFile writes Prometheus' file_sd. One goroutine has it.
//
// The file is replaced as a whole, only when it would differ, and only while all services are
// known: one of before, of an earlier run too, is better than half of one. Services that etcd does
// not let this user read are left out.
type targetFile struct {
	api      *api
	path     string
	patterns []string
	say      func(string)

	names   []string // nil before they are known
	listed  time.Time
	views   []*discovery.View // that were looked at last
	text    []byte            // that the file has
	failure string
}

func (t *targetFile) run(ctx context.Context) {
	t.text, _ = os.ReadFile(t.path) // none is as good as another one
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
		lctx, cancel := context.WithTimeout(ctx, namesWithin)
		names, err := t.api.matching(lctx, t.patterns)
		cancel()
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
			unread = true // so far; the others are read beside it
		}
	}
	if unread {
		return nil
	}
	if t.views != nil && slices.Equal(views, t.views) {
		return nil
	}
	text, err := encodeTargets(targetsOf(views, ""))
	if err == nil && !bytes.Equal(text, t.text) {
		err = wholefile.Write(t.path, text, 0o644) // Prometheus is another user
	}
	if err != nil {
		return err
	}
	t.views, t.text = views, text
	return nil
}
