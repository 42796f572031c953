package main

// Rows 6 and 7: tokens that expire.

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	official "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// withAuth starts a member that issues tokens for two seconds, with a user "root".
func withAuth(ctx context.Context, t *trial) (*etcdtest.Member, error) {
	cl, err := t.cluster(etcdtest.Options{Proxied: true, Args: []string{"--auth-token-ttl=2"}})
	if err != nil {
		return nil, err
	}
	m := cl.Members()[0]
	c, err := t.ours(ours.Config{Endpoints: []string{m.Direct}})
	if err != nil {
		return nil, err
	}
	_, err1 := c.RoleAdd(ctx, "root")
	_, err2 := c.UserAdd(ctx, "root", "root")
	_, err3 := c.UserGrantRole(ctx, "root", "root")
	_, err4 := c.AuthEnable(ctx)
	return m, errors.Join(err1, err2, err3, err4)
}

// expiry is certainly longer than a token lives: the server checks once a second.
const expiry = 4 * time.Second

func expiredToken(ctx context.Context, t *trial) error {
	m, err := withAuth(ctx, t)
	if err != nil {
		return err
	}
	c, err := t.ours(ours.Config{Endpoints: []string{m.Endpoint}, Username: "root", Password: "root"})
	if err != nil {
		return err
	}
	theirs, err := t.official(official.Config{Endpoints: []string{m.Endpoint}, Username: "root", Password: "root"})
	if err != nil {
		return err
	}
	writer, err := t.ours(ours.Config{Endpoints: []string{m.Direct}, Username: "root", Password: "root"})
	if err != nil {
		return err
	}
	const watches = 10
	var chans []ours.WatchChan
	var theirChans []official.WatchChan
	open := func() {
		chans, theirChans = append(chans, c.Watch(ctx, "k")), append(theirChans, theirs.Watch(ctx, "k"))
	}
	// deliver writes the key and counts the watches that deliver nothing.
	deliver := func() (silent, theirSilent float64, slowest time.Duration, err error) {
		began := time.Now()
		if _, err := writer.Put(ctx, "k", "v"); err != nil {
			return 0, 0, 0, err
		}
		for _, ch := range chans {
			if r, ok, err := receive(ctx, ch, patience); err != nil || !ok || r.Err() != nil {
				silent++
			}
		}
		slowest = time.Since(began)
		for _, ch := range theirChans {
			if r, ok, err := receive(ctx, ch, time.Second); err != nil || !ok || r.Err() != nil {
				theirSilent++
			}
		}
		return silent, theirSilent, slowest, nil
	}
	for range watches / 2 {
		open()
	}
	for _, broken := range []bool{false, true} {
		load.Wait(ctx, expiry)
		if broken {
			t.under("connection reset after the token expired: %d watches resume", watches)
			m.Proxy().Reset()
			theirChans = theirChans[:watches/2] // the others have ended
		} else {
			t.under("%d watches opened beside others after the token expired", watches/2)
			for range watches / 2 {
				open()
			}
		}
		silent, theirSilent, slowest, err := deliver()
		if err != nil {
			return err
		}
		t.promise("watches that ended or fell silent", "", 0, silent).here(theirSilent)
		t.show("slowest event", "s", slowest.Seconds())
	}
	return nil
}

func logins(ctx context.Context, t *trial) error {
	m, err := withAuth(ctx, t)
	if err != nil {
		return err
	}
	var mine, their wires
	c, err := t.ours(
		ours.Config{
			Endpoints:   []string{m.Endpoint},
			Username:    "root",
			Password:    "root",
			DialOptions: []grpc.DialOption{mine.option()},
		},
	)
	if err != nil {
		return err
	}
	theirs, err := t.official(
		official.Config{
			Endpoints:   []string{m.Endpoint},
			Username:    "root",
			Password:    "root",
			DialOptions: []grpc.DialOption{their.option()},
		},
	)
	if err != nil {
		return err
	}
	const readers, streams = 100, 10
	storm := func(w *wires, get, watch func() error) (float64, error) {
		before := w.of(pb.Auth_Authenticate_FullMethodName)
		err := each(readers+streams, func(i int) error {
			if i < readers {
				return get()
			}
			return watch()
		})
		return float64(w.of(pb.Auth_Authenticate_FullMethodName) - before), err
	}
	if _, err := c.Put(ctx, "k", "v"); err != nil {
		return err
	}
	load.Wait(ctx, expiry)
	n, err := storm(&mine, func() error { _, err := c.Get(ctx, "k"); return err }, func() error {
		r := <-c.Watch(ctx, "k", ours.WithCreatedNotify())
		return r.Err()
	})
	if err != nil {
		return err
	}
	load.Wait(ctx, expiry)
	// Failed reads of the official client are not counted here.
	theirN, _ := storm(&their, func() error { _, err := theirs.Get(ctx, "k"); return err }, func() error { return nil })
	t.under("%d reads (and with ours %d new watches) at once after an expiry", readers, streams)
	t.promise("logins", "", 1, n).seen("100").here(theirN)
	return nil
}
