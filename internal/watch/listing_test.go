package watch

import (
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// A listing's witness is its newest key, on whichever page that was, with its numbers and, if that
// was read, its value.
func TestListingNotesItsNewestKey(t *testing.T) {
	kv := func(key string, mod int64, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte(key), CreateRevision: 3, ModRevision: mod, Version: 2, Value: []byte(value)}
	}
	for name, values := range map[string]bool{"with values": true, "keys only": false} {
		value := ""
		if values {
			value = "v"
		}
		var l Listing
		for _, x := range []*mvccpb.KeyValue{nil, kv("a", 5, value), kv("b", 9, value), kv("c", 7, value)} {
			l.Note(x)
		}
		if string(l.Key()) != "b" {
			t.Errorf("%s: the newest key is %q", name, l.Key())
		}
		ch := newListing(&l, []byte("a"), []byte("d")).proof.changes
		for _, c := range []struct {
			kv   *mvccpb.KeyValue
			same bool
		}{
			{kv("b", 9, "v"), true},
			{kv("b", 9, "w"), !values},
			{kv("b", 8, "v"), false},
			{underLease(kv("b", 9, "v")), !values}, // etcd 3.7 lists keys without their leases
		} {
			if len(ch) != 1 || ch[0].SameAs(c.kv) != c.same {
				t.Errorf("%s: %v is the same: %v, of %+v", name, c.kv, !c.same, ch)
			}
		}
	}
}

// Servers before 3.7 say the lease. If values are empty nobody knows whether they were read.
func TestListingOfKeysThatSayTheirLeases(t *testing.T) {
	kv := underLease(&mvccpb.KeyValue{Key: []byte("a"), CreateRevision: 3, ModRevision: 5, Version: 2})
	var l Listing
	l.Note(kv)
	if ch := newListing(&l, kv.Key, nil).proof.changes; len(ch) != 1 || !ch[0].SameAs(kv) {
		t.Errorf("%v is not the same as %+v", kv, ch)
	}
}

func underLease(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	kv.Lease = 7
	return kv
}
