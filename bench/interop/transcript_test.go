package interop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	theirs "go.etcd.io/etcd/client/v3"
	theirconcurrency "go.etcd.io/etcd/client/v3/concurrency"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

// candidate and mutex are what both packages offer in the same form.
type candidate interface {
	Campaign(ctx context.Context, val string) error
	Proclaim(ctx context.Context, val string) error
	Resign(ctx context.Context) error
	Header() *pb.ResponseHeader
}

type mutex interface {
	Lock(ctx context.Context) error
	TryLock(ctx context.Context) error
	Unlock(ctx context.Context) error
	Key() string
	Header() *pb.ResponseHeader
}

// side is one of the two packages.
type side struct {
	name    string
	session func(t *testing.T) sessionOf
	stm     func(f func(get func(string) string, put func(k, v string), rev func(string) int64)) error
}

type sessionOf struct {
	candidate func(prefix string) candidate
	mutex     func(prefix string) mutex
	orphan    func()
}

func sides(o *ours.Client, x *theirs.Client) []side {
	return []side{
		{"theirs", func(t *testing.T) sessionOf {
			s, err := theirconcurrency.NewSession(x)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Orphan(); x.Revoke(context.Background(), s.Lease()) })
			return sessionOf{
				func(p string) candidate { return theirconcurrency.NewElection(s, p) },
				func(p string) mutex { return theirconcurrency.NewMutex(s, p) }, s.Orphan,
			}
		}, func(f func(func(string) string, func(k, v string), func(string) int64)) error {
			_, err := theirconcurrency.NewSTM(x, func(s theirconcurrency.STM) error {
				f(func(k string) string { return s.Get(k) }, func(k, v string) { s.Put(k, v) }, s.Rev)
				return nil
			})
			return err
		}},
		{"ours", func(t *testing.T) sessionOf {
			s, err := concurrency.NewSession(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Orphan(); o.Revoke(context.Background(), s.Lease()) })
			return sessionOf{
				func(p string) candidate { return concurrency.NewElection(s, p) },
				func(p string) mutex { return concurrency.NewMutex(s, p) }, s.Orphan,
			}
		}, func(f func(func(string) string, func(k, v string), func(string) int64)) error {
			_, err := concurrency.NewSTM(o, func(s concurrency.STM) error {
				f(func(k string) string { return s.Get(k) }, func(k, v string) { s.Put(k, v) }, s.Rev)
				return nil
			})
			return err
		}},
	}
}

// TestTranscripts: the same steps with either package for coordination report the same and leave
// the same, revision by revision. A line has what a step did to the keys, its error and the
// revision of the header.
func TestTranscripts(t *testing.T) {
	o, x := dial(t)
	for name, script := range map[string]func(r *recorder, s side){
		"an orphaned session": orphaned, "transactional memory": written,
	} {
		t.Run(name, func(t *testing.T) {
			var said [][]string
			for _, s := range sides(o, x) {
				r := &recorder{t: t, cli: o, prefix: fmt.Sprintf("transcript/%s/%s", name, s.name)}
				put, err := o.Put(within(t), r.prefix, "") // revisions are counted from here
				if err != nil {
					t.Fatal(err)
				}
				r.base = put.Header.Revision
				script(r, s)
				said = append(said, r.lines)
			}
			if !slices.Equal(said[0], said[1]) {
				t.Errorf(
					"the official package:\n\t%s\nours:\n\t%s",
					strings.Join(said[0], "\n\t"),
					strings.Join(said[1], "\n\t"),
				)
			}
		})
	}
}

// recorder records what steps do, with revisions counted from base.
type recorder struct {
	t      *testing.T
	cli    *ours.Client
	prefix string
	base   int64
	lines  []string
}

// step records the result of a call and the keys below the prefix after it.
func (r *recorder) step(what string, err error, header *pb.ResponseHeader) {
	r.t.Helper()
	rev := "none"
	if header != nil {
		rev = fmt.Sprint(header.Revision - r.base)
	}
	r.lines = append(r.lines, fmt.Sprintf("%s: %v, header %s, keys %v", what, err, rev, r.keys()))
}

func (r *recorder) keys() (list []string) {
	r.t.Helper()
	got, err := r.cli.Get(
		within(r.t),
		r.prefix+"/",
		ours.WithPrefix(),
		ours.WithSort(ours.SortByCreateRevision, ours.SortAscend),
	)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		dir := string(kv.Key)[len(r.prefix) : strings.LastIndex(string(kv.Key), "/")+1]
		list = append(
			list,
			fmt.Sprintf("%s=%s created %d modified %d", dir, kv.Value, kv.CreateRevision-r.base, kv.ModRevision-r.base),
		)
	}
	return list
}

// wait runs a call that waits, and returns once the call has put its key.
func (r *recorder) wait(call func(ctx context.Context) error) <-chan error {
	r.t.Helper()
	n := len(r.keys())
	done := make(chan error, 1)
	ctx := within(r.t)
	go func() { done <- call(ctx) }()
	for len(r.keys()) == n {
		if ctx.Err() != nil {
			r.t.Fatal("the call that should wait puts no key")
		}
	}
	return done
}

func orphaned(r *recorder, s side) {
	ctx := within(r.t)
	one, other := s.session(r.t), s.session(r.t)
	m, e, rival := one.mutex(r.prefix+"/m"), one.candidate(r.prefix+"/e"), other.mutex(r.prefix+"/rival")
	r.step("lock", m.Lock(ctx), m.Header())
	r.step("campaign", e.Campaign(ctx, "v"), e.Header())
	r.step("lock of another", rival.Lock(ctx), rival.Header())
	waits := one.mutex(r.prefix + "/rival")
	done := r.wait(waits.Lock)
	one.orphan()
	r.step("unlock of another", rival.Unlock(ctx), rival.Header())
	err := <-done
	r.step("lock that waited", err, waits.Header())
	late, tried := one.mutex(r.prefix+"/late"), one.mutex(r.prefix+"/tried")
	r.step("lock, orphaned", late.Lock(ctx), late.Header())
	r.step("trylock", tried.TryLock(ctx), tried.Header())
	r.step("proclaim", e.Proclaim(ctx, "w"), e.Header())
	r.step("unlock", m.Unlock(ctx), m.Header())
	r.step("resign", e.Resign(ctx), e.Header())
	r.step("campaign, orphaned", e.Campaign(ctx, "x"), e.Header())
	// This is the last step, since the official package puts its key and deletes it.
	refused := other.mutex(r.prefix + "/tried")
	r.lines = append(r.lines, fmt.Sprintf("trylock of another: %v, key %q", refused.TryLock(ctx), refused.Key()))
}

func written(r *recorder, s side) {
	key, absent := r.prefix+"/key", r.prefix+"/absent"
	put, err := r.cli.Put(within(r.t), key, "1")
	if err != nil {
		r.t.Fatal(err)
	}
	runs := 0
	err = s.stm(func(get func(string) string, write func(k, v string), rev func(string) int64) {
		runs++
		write(key, "2")
		write(absent, "2")
		r.lines = append(r.lines, fmt.Sprint(rev(key)-r.base, rev(absent), get(key)))
		if runs == 1 {
			if _, err := r.cli.Put(within(r.t), key, "another's"); err != nil {
				r.t.Error(err)
			}
		}
	})
	r.step(fmt.Sprintf("%d runs", runs), err, put.Header)
}
