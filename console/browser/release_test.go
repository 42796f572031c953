package browser

import (
	"context"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// TestLeasesAndLocksAreChanged from their pages: leases are granted, kept alive and revoked, and
// locks are released by force after a warning.
func TestLeasesAndLocksAreChanged(t *testing.T) {
	base, client := serve(t, cluster)
	ctx := clienttest.Within(t, clienttest.Long)
	b := open(t, base, desktop, "leases")
	b.expect("409")
	b.press("Grant a lease…")
	b.enter("dialog input", "0")
	b.press("Grant it")
	b.has("dialog .say", "at least 1")
	b.examineBoth("granting")
	b.enter("dialog input", "600\r")
	b.press("Grant it")
	b.has(".toast", "Granted")
	b.await("it is the one that is shown", `document.querySelectorAll('tbody tr').length === 1`)
	var id string
	b.js(`document.querySelector('tbody tr').dataset.id`, &id)
	b.press("Keep alive")
	b.has(".toast", "again")
	b.press("Revoke…")
	b.has("dialog", "It has no keys")
	b.press("Revoke it")
	b.has(".toast", "Revoked")
	b.await("it is gone", `document.querySelectorAll('tbody tr').length === 0`)

	name := "/release/<img src=x>\u202e"
	var all []*concurrency.Mutex
	for range 2 {
		s, err := concurrency.NewSession(client, concurrency.WithTTL(600))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		all = append(all, concurrency.NewMutex(s, name))
	}
	t.Cleanup(func() {
		if _, err := client.Delete(context.Background(), "/release/", clientv3.WithPrefix()); err != nil {
			t.Error(err)
		}
	})
	if err := all[0].Lock(ctx); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() { got <- all[1].Lock(ctx) }()
	b.visit("locks?prefix=" + b64("/release/"))
	b.await("one waits", `document.querySelectorAll('tbody tr').length === 2`)
	b.has("caption", "or earlier")
	b.examineBoth("locks")
	b.press("Release…")
	b.has("dialog", "may go on working")
	b.has("dialog", "two may work at a time")
	b.examineBoth("releasing")
	b.shot("release")
	b.press("Release it")
	b.has(".toast", "Released")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	b.has("caption", "1 hand-over seen")
	if b.is(`document.querySelector('main img') || /\u202e/.test(document.querySelector('main').textContent)`) {
		t.Error("the name is not shown inert")
	}
	b.visit("leases")
	b.enter("[data-search]", "/release/")
	b.has("tbody", "lock or election")
	b.examineBoth("leases")
	b.shot("leases-owners")
	b.press("Revoke…")
	b.has("dialog", "its key is deleted")
	put(t, client, "/release/late", "", clientv3.WithLease(mutexLease(t, client, all[1])))
	b.press("Revoke it")
	b.has(".toast", "nothing was done")
	if v := value(t, client, all[1].Key()); v == "<none>" {
		t.Fatal("it was revoked")
	}

	b.visit("watch?prefix=" + b64("/release/"))
	b.has(".counts", "Watching")
	b.press("Pause")
	put(t, client, "/release/late", "now")
	b.has(".notice", "1 event has come since")
	b.examineBoth("a pause")
	b.press("Go on")
	b.await("the notice is gone", `!document.querySelector('.notice')`)
}

// mutexLease returns the lease of a mutex's owner.
func mutexLease(t *testing.T, client *clientv3.Client, m *concurrency.Mutex) clientv3.LeaseID {
	t.Helper()
	r, err := client.Get(t.Context(), m.Key())
	if err != nil || len(r.Kvs) != 1 {
		t.Fatal(r, err)
	}
	return clientv3.LeaseID(r.Kvs[0].Lease)
}
