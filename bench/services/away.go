package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	// few is the number of instances of each way; all ways are called at once.
	few = 5
	// rest is how long calls go on after etcd came back: what was not renewed in time goes by
	// then.
	rest = 2 * lease
)

// away takes etcd away from all ways at once, and wipes it.
func away(t *table, chosen []*way, long bool) error {
	cluster, err := etcdtest.StartMain(etcdtest.Options{})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	p, err := newPrograms()
	if err != nil {
		return err
	}
	defer p.close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	var scenes []*scene
	for _, w := range chosen {
		s, err := newScene(ctx, w, p, cluster, few)
		if err != nil {
			return err
		}
		defer s.end()
		scenes = append(scenes, s)
	}
	outages := []outage{{10 * time.Second, false}, {time.Minute, false}, {10 * time.Second, true}}
	if long {
		outages = append(outages, outage{10 * time.Minute, false})
	}
	for _, o := range outages {
		if err := o.happen(ctx, t, cluster, scenes); err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
	}
	return nil
}

type outage struct {
	away time.Duration
	wipe bool
}

func (o outage) String() string {
	if o.wipe {
		return fmt.Sprintf("etcd away for %v, and wiped", o.away)
	}
	return fmt.Sprintf("etcd away for %v", o.away)
}

func (o outage) happen(ctx context.Context, t *table, cluster *etcdtest.Cluster, scenes []*scene) error {
	began := time.Now()
	var all []*calling
	for _, s := range scenes {
		all = append(all, startCalls(s.caller, rate/len(scenes)))
	}
	err := o.outage(ctx, cluster)
	for i, s := range scenes {
		l := all[i].end()
		err = errors.Join(err, s.whole(ctx))
		n := l.number(failed)
		t.line(o.String()+": failed", s.way.name, fmt.Sprintf("%d of %d", n, len(l)), "0", n == 0)
		t.explain(l, began)
	}
	return err
}

// outage takes etcd away, brings it back, and waits until everything that could go has gone.
func (o outage) outage(ctx context.Context, cluster *etcdtest.Cluster) error {
	m := cluster.Members()[0]
	if err := pause(ctx, attempt); err != nil {
		return err
	}
	m.Kill()
	if err := pause(ctx, o.away); err != nil {
		return err
	}
	if o.wipe {
		if err := os.RemoveAll(m.DataDir); err != nil {
			return err
		}
	}
	if err := m.Restart(); err != nil {
		return err
	}
	if err := m.WaitReady(ctx); err != nil {
		return err
	}
	return pause(ctx, rest)
}
