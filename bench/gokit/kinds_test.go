package gokit

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/go-kit/kit/sd"
	theirs "github.com/go-kit/kit/sd/etcdv3"
	"github.com/go-kit/log"

	ours "github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
)

// The heartbeat and TTL that the services of the tests ask for.
const (
	heartbeat = time.Second
	ttl       = 5 * time.Second
)

// client is what the tests use of a Client of either package.
type client interface {
	register(key, value string) error
	deregister(key, value string) error
	entries(prefix string) ([]string, error)
	// follow makes an instancer, and returns how to stop it.
	follow(prefix string) (sd.Instancer, func(), error)
}

// kinds are the packages that are compared, and how a process connects with each.
var kinds = []struct {
	name    string
	connect func(ctx context.Context, endpoints []string) (client, error)
}{
	{"go-kit", func(ctx context.Context, endpoints []string) (client, error) {
		c, err := theirs.NewClient(ctx, endpoints, theirs.ClientOptions{})
		return theirClient{c}, err
	}},
	{"fairlead", func(ctx context.Context, endpoints []string) (client, error) {
		c, err := ours.NewClient(ctx, endpoints, ours.ClientOptions{})
		return ourClient{c}, err
	}},
}

const theirKind, ourKind = 0, 1 // indexes of kinds

type theirClient struct{ c theirs.Client }

func (x theirClient) service(key, value string) theirs.Service {
	return theirs.Service{Key: key, Value: value, TTL: theirs.NewTTLOption(heartbeat, ttl)}
}

func (x theirClient) register(key, value string) error { return x.c.Register(x.service(key, value)) }
func (x theirClient) deregister(key, value string) error {
	return x.c.Deregister(x.service(key, value))
}
func (x theirClient) entries(prefix string) ([]string, error) { return x.c.GetEntries(prefix) }

func (x theirClient) follow(prefix string) (sd.Instancer, func(), error) {
	i, err := theirs.NewInstancer(x.c, prefix, log.NewNopLogger())
	if err != nil {
		return nil, nil, err
	}
	return i, i.Stop, nil
}

type ourClient struct{ c ours.Client }

func (x ourClient) service(key, value string) ours.Service {
	return ours.Service{Key: key, Value: value, TTL: ours.NewTTLOption(heartbeat, ttl)}
}

func (x ourClient) register(key, value string) error        { return x.c.Register(x.service(key, value)) }
func (x ourClient) deregister(key, value string) error      { return x.c.Deregister(x.service(key, value)) }
func (x ourClient) entries(prefix string) ([]string, error) { return x.c.GetEntries(prefix) }

func (x ourClient) follow(prefix string) (sd.Instancer, func(), error) {
	i, err := ours.NewInstancer(x.c, prefix, log.NewNopLogger())
	if err != nil {
		return nil, nil, err
	}
	return i, i.Stop, nil
}

func ok(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// connect makes a client of a kind, as a process of its own would have.
func connect(t testing.TB, kind int, endpoints []string) client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c, err := kinds[kind].connect(ctx, endpoints)
	ok(t, kinds[kind].name+": NewClient", err)
	return c
}

// follow returns an instancer that is stopped when the test ends.
func follow(t testing.TB, c client, prefix string) sd.Instancer {
	t.Helper()
	i, stop, err := c.follow(prefix)
	ok(t, "NewInstancer", err)
	t.Cleanup(stop)
	return i
}

// sorted sorts a list for comparison.
func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
