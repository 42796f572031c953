package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
)

const (
	copyScope = space + "copy/" // where the copier copies kvScope to
	copyMark  = space + "copied"
)

// copier mirrors the keys of the workers to another prefix, all the time.
type copier struct {
	cli     *clientv3.Client
	reached atomic.Int64 // the revision up to which the copy is complete

	stop        context.CancelFunc
	ended       sync.WaitGroup
	err         error // of the mirror: nothing may end it
	puts        int64
	comparisons int64
}

func (c *copier) start() {
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	c.ended.Go(func() {
		err := mirror.Run(
			ctx,
			c.cli,
			c.cli,
			mirror.WithPrefix(kvScope),
			mirror.WithTargetPrefix(copyScope),
			mirror.WithCheckpoint(copyMark),
			mirror.WithProgress(func(p mirror.Progress) {
				c.puts, c.comparisons = p.Puts, p.Comparisons
				if !p.Comparing {
					c.reached.Store(p.Revision)
				}
			}),
		)
		if !errors.Is(err, context.Canceled) {
			c.err = err
		}
	})
}

// close ends the mirror; then its counts may be read.
func (c *copier) close() {
	if c.stop != nil {
		c.stop()
		c.ended.Wait()
	}
}
