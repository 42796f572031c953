// Kubernetes stores its objects through the package k8s.io/apiserver/pkg/storage, which makes an
// etcd client of its own. This program reads and updates an object through it, twenty times a
// second, as an API server does for a leader election: each call has five seconds. It knows nothing
// of Fairlead. With one line more in go.mod, a replace, its storage runs on Fairlead and outlives a
// member of etcd that freezes. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
)

const (
	every    = 50 * time.Millisecond
	deadline = 5 * time.Second
	key      = "/leases/kube-system/controller"
)

func main() {
	endpoints := flag.String("endpoints", "localhost:2379,localhost:22379,localhost:32379", "the members of the cluster")
	length := flag.Duration("for", time.Minute, "how long it makes calls")
	flag.Parse()
	if err := run(strings.Split(*endpoints, ","), *length); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(endpoints []string, length time.Duration) error {
	store, destroy, err := open(endpoints)
	if err != nil {
		return err
	}
	defer destroy()
	ctx := context.Background()
	if err := within(ctx, func(ctx context.Context) error { return store.Create(ctx, key, object(), nil, 0) }); err != nil && !storage.IsExist(err) {
		return err
	}
	for _, t := range drive(ctx, store, 2*time.Second) {
		if t.failed > 0 {
			return fmt.Errorf("calls fail without any fault: %w", t.err)
		}
	}
	fmt.Println("warm")
	t := drive(ctx, store, length)
	fmt.Println("reads:", t[0])
	fmt.Println("writes:", t[1])
	return nil
}

// open makes a storage as an API server does, of objects of any kind.
func open(endpoints []string) (storage.Interface, factory.DestroyFunc, error) {
	cfg := storagebackend.NewDefaultConfig("/registry", unstructured.UnstructuredJSONScheme)
	for _, e := range endpoints {
		cfg.Transport.ServerList = append(cfg.Transport.ServerList, "http://"+e)
	}
	return factory.Create(*cfg.ForResource(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}),
		func() runtime.Object { return &unstructured.Unstructured{} },
		func() runtime.Object { return &unstructured.UnstructuredList{} }, "/leases")
}

func object() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": map[string]any{"name": "controller", "namespace": "kube-system"},
	}}
}

// within gives a call its time.
func within(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return call(ctx)
}

// tally is what came of calls of one kind.
type tally struct {
	made, failed int
	last         time.Duration // when the last that failed began, since the first call
	err          error         // its error
}

func (t tally) String() string {
	text := fmt.Sprintf("%d made, %d failed", t.made, t.failed)
	if t.failed > 0 {
		text += fmt.Sprintf(", the last one begun after %d ms: %v", t.last.Milliseconds(), t.err)
	}
	return text
}

// drive makes calls at a steady rate, whatever becomes of the earlier ones, and waits for all. It
// returns what came of reads and of writes.
func drive(ctx context.Context, store storage.Interface, length time.Duration) (t [2]tally) {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards t
	tick := time.NewTicker(every)
	defer tick.Stop()
	first := time.Now()
	for i := range int(length / every) {
		<-tick.C
		// By chance: with a fixed order, the official client's turns would give each kind to the
		// same members.
		kind := rand.IntN(2)
		wg.Go(func() {
			began := time.Since(first)
			err := within(ctx, func(ctx context.Context) error {
				if kind == 0 {
					return store.Get(ctx, key, storage.GetOptions{}, &unstructured.Unstructured{})
				}
				return renew(ctx, store, i)
			})
			mu.Lock()
			defer mu.Unlock()
			k := &t[kind]
			k.made++
			if err != nil {
				k.failed++
				if began >= k.last {
					k.last, k.err = began, err
				}
			}
		})
	}
	wg.Wait()
	return t
}

// renew writes a new time into the object.
func renew(ctx context.Context, store storage.Interface, i int) error {
	update := func(old runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
		lease := old.DeepCopyObject().(*unstructured.Unstructured)
		err := unstructured.SetNestedField(lease.Object, fmt.Sprint(time.Now().UnixNano(), i), "spec", "renewTime")
		return lease, nil, err
	}
	return store.GuaranteedUpdate(ctx, key, &unstructured.Unstructured{}, false, nil, update, nil)
}
