package cache_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

type host struct {
	name  string
	zones []string
}

var errNoHost = errors.New("no host")

// decoder reads "name zone zone ..."; it counts its calls.
func decoder(calls *atomic.Int64) func(string, []byte) (host, error) {
	return func(_ string, value []byte) (host, error) {
		calls.Add(1)
		parts := strings.Fields(string(value))
		if len(parts) == 0 {
			return host{}, errNoHost
		}
		return host{parts[0], parts[1:]}, nil
	}
}

func TestView(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	put(t, c, p+"hosts/1", "alpha east west")
	put(t, c, p+"hosts/2", "beta east")
	put(t, c, p+"other", "not of the view")
	ca := open(t, c, []string{p}, cache.WithHistory(5, 1<<20))
	var calls atomic.Int64
	byZone := cache.NewIndex(func(_ string, h host) []string { return h.zones })
	bySize := cache.NewIndex(func(_ string, h host) []int { return []int{len(h.zones)} })
	v, err := cache.NewView(ca, p+"hosts/", decoder(&calls), byZone, bySize)
	if err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		if err := v.Sync(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	names := func(zone string) (s string) {
		for _, h := range byZone.Get(zone) {
			s += h.name + " "
		}
		return s
	}
	sync()
	if h, ok := v.Get(p + "hosts/1"); !ok || h.name != "alpha" || v.Len() != 2 || calls.Load() != 2 {
		t.Errorf("%v, %v, %d, %d calls", h, ok, v.Len(), calls.Load())
	}
	if names("east") != "alpha beta " || names("west") != "alpha " || names("north") != "" {
		t.Errorf("east %s, west %s", names("east"), names("west"))
	}
	put(t, c, p+"hosts/1", "alpha north")
	put(t, c, p+"hosts/3", "gamma")
	rev := put(t, c, p+"hosts/2", " ")
	sync()
	if names("east") != "" || names("north") != "alpha " || v.Len() != 2 || v.Revision() < rev || calls.Load() != 5 {
		t.Errorf("east %s, north %s, %d, %d calls", names("east"), names("north"), v.Len(), calls.Load())
	}
	if errs := v.Errors(); len(errs) != 1 || errs[p+"hosts/2"] != errNoHost {
		t.Errorf("errors %v", errs)
	}
	if fmt.Sprint(bySize.Keys()) != "[0 1]" {
		t.Errorf("sizes %v", bySize.Keys())
	}
	remove(t, c, p+"hosts/2")
	remove(t, c, p+"hosts/1")
	sync()
	n := 0
	for key, h := range v.All() {
		if n++; key != p+"hosts/3" || h.name != "gamma" {
			t.Errorf("%s is %v", key, h)
		}
	}
	if n != 1 || len(v.Errors()) != 0 || names("north") != "" {
		t.Errorf("%d, %v", n, v.Errors())
	}
	v.Close()
	if _, ok := v.Get(p + "hosts/3"); !ok {
		t.Error("a closed view has lost its last state")
	}
	if err := v.Sync(within(t)); !errors.Is(err, clientv3.ErrClosed) && err != nil {
		t.Errorf("Sync: %v", err)
	}
	if _, err := cache.NewView(ca, "elsewhere", decoder(&calls)); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("a view of other keys: %v", err)
	}
	if _, err := cache.NewView(ca, p, decoder(&calls), byZone); clientv3.Code(err) != codes.InvalidArgument {
		t.Errorf("an index twice: %v", err)
	}
}

// A view that falls behind the history compares, and decodes only what has changed.
func TestViewBehindHistory(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	for i := range 50 {
		put(t, c, fmt.Sprintf("%s%02d", p, i), "host east")
	}
	ca := open(t, c, []string{p}, cache.WithHistory(5, 1<<20))
	var calls atomic.Int64
	hold := make(chan struct{})
	entered := make(chan struct{}, 1)
	inner := decoder(&calls)
	byZone := cache.NewIndex(func(_ string, h host) []string { return h.zones })
	v, err := cache.NewView(ca, p, func(key string, value []byte) (host, error) {
		if string(value) == "hold" {
			entered <- struct{}{}
			<-hold
		}
		return inner(key, value)
	}, byZone)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Sync(within(t)); err != nil {
		t.Fatal(err)
	}
	put(t, c, p+"00", "hold")
	clienttest.Receive(t, "decoding", entered)
	for i := range 10 {
		put(t, c, fmt.Sprintf("%s%02d", p, i), "host west")
	}
	remove(t, c, p+"11")
	if _, err := ca.Sync(within(t)); err != nil {
		t.Fatal(err)
	}
	close(hold)
	if err := v.Sync(within(t)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range byZone.Get("west") {
		n++
	}
	if n != 10 || v.Len() != 49 || calls.Load() != 61 {
		t.Errorf("%d in the west of %d, %d calls", n, v.Len(), calls.Load())
	}
}
