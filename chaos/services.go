package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// Instances of a service, and one follower of it.
const (
	serviceScope = space + "service/" // records of instances
	service      = "chaos"
	// registrars is how many processes there would be, each with instances of the service.
	registrars   = 2
	instances    = 3
	instanceTTL  = 6 // seconds
	updateEvery  = time.Second
	updateWithin = 3 * time.Second
)

// record is how an instance is stored.
var record = discovery.JSON{Base: serviceScope}

// provider registers instances, and changes them now and then.
type provider struct {
	id        int
	registrar *discovery.Registrar
	rnd       *rand.Rand

	updates, failed int
	errs            []error
}

func newProvider(id int, cli *clientv3.Client, rnd *rand.Rand) *provider {
	return &provider{
		id:        id,
		rnd:       rnd,
		registrar: discovery.NewRegistrar(cli, discovery.WithFormat(record), discovery.WithTTL(instanceTTL)),
	}
}

// run registers while the cluster is whole, and updates until ctx ends. The instances stay.
func (p *provider) run(ctx context.Context) {
	var list []*discovery.Registration
	for i := range instances {
		g, err := p.registrar.Register(ctx, discovery.Instance{
			Service: service, ID: fmt.Sprintf("%d-%d", p.id, i),
			Addresses: []string{fmt.Sprintf("127.0.0.1:%d", 1000+10*p.id+i)},
		})
		if err != nil {
			if ctx.Err() == nil {
				p.errs = append(p.errs, fmt.Errorf("registering: %w", err))
			}
			return
		}
		list = append(list, g)
	}
	for n := 1; ctx.Err() == nil; n++ {
		uctx, cancel := context.WithTimeout(ctx, updateWithin)
		err := list[p.rnd.IntN(len(list))].Update(
			uctx,
			func(in *discovery.Instance) { in.Metadata = map[string]string{"n": strconv.Itoa(n)} },
		)
		cancel()
		p.updates++
		switch {
		case err == nil:
		case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
			p.failed++ // etcd will have the update when it is back
		default:
			p.errs = append(p.errs, fmt.Errorf("an update: %w", err))
		}
		pause(ctx, updateEvery)
	}
}

// looker follows the service.
type looker struct {
	directory *discovery.Directory
	clock     history.Clock

	views  []history.View
	latest atomic.Pointer[history.View]
	errs   []error
}

// run follows until ctx ends.
func (l *looker) run(ctx context.Context) {
	sub, err := l.directory.Subscribe(service)
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	defer sub.Close()
	for {
		c, err := sub.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				l.errs = append(l.errs, err)
			}
			return
		}
		v := history.View{At: l.clock.Now(), Rev: c.View.Revision(), Stale: c.Stale}
		for in := range c.View.All() {
			v.Shown = append(v.Shown, history.KV{Key: record.Key(in), Value: in.Metadata["n"]})
		}
		slices.SortFunc(v.Shown, func(a, b history.KV) int { return strings.Compare(a.Key, b.Key) })
		l.views = append(l.views, v)
		l.latest.Store(&v)
	}
}

// shows reports whether the last view equals what is stored.
func (l *looker) shows(stored []history.KV) bool {
	v := l.latest.Load()
	return v != nil && !v.Stale && slices.Equal(v.Shown, stored)
}

// meaning decodes a record as views show it.
func meaning(key string, value []byte) (string, error) {
	in, err := record.Unmarshal(service, key, value)
	if err != nil {
		return "", err
	}
	return in.Metadata["n"], nil
}

// instances returns the records that are stored.
func (a *admin) instances(ctx context.Context) (list []history.KV, err error) {
	err = a.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
		r, err := pb.NewKVClient(cc).
			Range(ctx, &pb.RangeRequest{Key: []byte(serviceScope), RangeEnd: []byte(prefixEnd(serviceScope))})
		if err != nil {
			return err
		}
		list = nil
		for _, kv := range r.Kvs {
			value, err := meaning(string(kv.Key), kv.Value)
			if err != nil {
				return err
			}
			list = append(list, history.KV{Key: string(kv.Key), Value: value})
		}
		return nil
	})
	return list, err
}
