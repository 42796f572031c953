package main

// Row 21: endpoints that are dead, removed, moved or renewed.

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	official "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

func endpoints(ctx context.Context, t *trial) error {
	for _, f := range []func(context.Context, *trial) error{deadEndpoint, renewedCertificate, movedName} {
		if err := f(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func failures(errs ...error) float64 {
	n := 0
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	return float64(n)
}

func deadEndpoint(ctx context.Context, t *trial) error {
	o, err := t.one(ours.Hooks{})
	if err != nil {
		return err
	}
	dead, err := faultnet.New("127.0.0.1:1")
	if err != nil {
		return err
	}
	t.later(dead.Close)
	dead.Refuse()
	eps := []string{dead.Addr(), o.m.Endpoint}
	began := time.Now()
	_, err = t.ours(ours.Config{Endpoints: eps, RejectOldCluster: true, DialTimeout: 5 * time.Second})
	took := time.Since(began)
	_, theirErr := t.official(official.Config{Endpoints: eps, RejectOldCluster: true, DialTimeout: 2 * time.Second})
	t.under("one dead endpoint of two, RejectOldCluster")
	t.promise("New fails", "", 0, failures(err)).seen("fails").here(failures(theirErr))
	t.show("New takes", "s", took.Seconds())

	accepted := 0.0
	if o.c.UpdateEndpoints() == nil {
		accepted = 1
	}
	o.c.SetEndpoints() // must be ignored; the official client panics at a later call
	_, err = o.c.Get(ctx, "k")
	t.under("SetEndpoints and UpdateEndpoints with none")
	t.promise("accepted", "", 0, accepted)
	t.promise("calls that fail afterwards", "", 0, failures(err)).seen("panic")

	const asked = 10
	count := func(status func() error) (float64, error) {
		before := o.m.Proxy().Stats().Accepted
		for range asked {
			if err := status(); err != nil {
				return 0, err
			}
		}
		return float64(o.m.Proxy().Stats().Accepted - before), nil
	}
	theirs, err := t.official(official.Config{Endpoints: []string{o.m.Endpoint}})
	if err != nil {
		return err
	}
	if _, err := theirs.Get(ctx, "k"); err != nil { // connects
		return err
	}
	mine, err := count(func() error { _, err := o.c.Status(ctx, o.m.Endpoint); return err })
	if err != nil {
		return err
	}
	their, err := count(func() error { _, err := theirs.Status(ctx, o.m.Endpoint); return err })
	if err != nil {
		return err
	}
	t.under("Status of a member %d times", asked)
	t.promise("connections dialled", "", 0, mine).seen("one each").here(their)
	return nil
}

// renewedCertificate replaces a client's certificate files under the running client. It succeeds
// once the new ones are in use.
func renewedCertificate(ctx context.Context, t *trial) error {
	dir, err := os.MkdirTemp("", "fairlead-promises-")
	if err != nil {
		return err
	}
	t.later(func() error { return os.RemoveAll(dir) })
	authority := func(name string) (*etcdtest.TLS, error) {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			return nil, err
		}
		return etcdtest.NewTLSIn(sub)
	}
	ca, err := authority("ca")
	if err != nil {
		return err
	}
	other, err := authority("other")
	if err != nil {
		return err
	}
	cl, err := t.cluster(etcdtest.Options{TLS: ca, ClientCertAuth: true})
	if err != nil {
		return err
	}
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	install := func(from *etcdtest.TLS, age time.Duration) error {
		for to, name := range map[string]string{cert: from.ClientCertFile, key: from.ClientKeyFile} {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if err := os.WriteFile(to, b, 0o600); err != nil {
				return err
			}
			at := time.Now().Add(-age) // file systems with coarse clocks must show a change
			if err := os.Chtimes(to, at, at); err != nil {
				return err
			}
		}
		return nil
	}
	if err := install(other, 2*time.Hour); err != nil {
		return err
	}
	cfg, err := ours.NewClientConfig(
		&ours.ConfigSpec{
			Endpoints: cl.Endpoints(),
			Secure:    &ours.SecureConfig{Cacert: ca.CAFile, Cert: cert, Key: key},
		},
		nil,
	)
	if err != nil {
		return err
	}
	c, err := t.ours(*cfg)
	if err != nil {
		return err
	}
	works := func() bool {
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := c.Put(cctx, "k", "v")
		return err == nil
	}
	if works() {
		return fmt.Errorf("the server takes the certificate of another authority")
	}
	if err := install(ca, time.Hour); err != nil {
		return err
	}
	began := time.Now()
	unused := 0.0
	if !within(ctx, patience, works) {
		unused = 1
	}
	t.under("the client's certificate is replaced by one that the server takes")
	t.promise("not used", "", 0, unused)
	t.show("used after", "s", time.Since(began).Seconds())
	return nil
}

// movedName makes the name of an endpoint lead elsewhere. A dialer plays the name server.
func movedName(ctx context.Context, t *trial) error {
	a, err := t.cluster(etcdtest.Options{})
	if err != nil {
		return err
	}
	b, err := t.cluster(etcdtest.Options{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	to := a.Endpoints()[0] // guarded by mu
	c, err := t.ours(ours.Config{Endpoints: []string{"etcd.example:2379"}, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			mu.Lock()
			addr := to
			mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}),
	}})
	if err != nil {
		return err
	}
	if _, err := c.Put(ctx, "k", "v"); err != nil {
		return err
	}
	mu.Lock()
	to = b.Endpoints()[0]
	mu.Unlock()
	a.Members()[0].Kill()
	began := time.Now()
	works := func() bool {
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := c.Put(cctx, "k", "v")
		return err == nil
	}
	unused := 0.0
	if !within(ctx, patience, works) {
		unused = 1
	}
	t.under("an endpoint's name leads to another server, the old one is killed")
	t.promise("not used", "", 0, unused)
	t.show("used after", "s", time.Since(began).Seconds())
	return nil
}
