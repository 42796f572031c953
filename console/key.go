package console

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/fairlead-go/fairlead/clientv3"
)

// keyState is a key at a revision.
type keyState struct {
	Key      []byte `json:"key"`
	Revision int64  `json:"revision"` // of the cluster
	Exists   bool   `json:"exists"`
	Value    []byte `json:"value,omitempty"`
	Size     int    `json:"size"`
	Create   int64  `json:"create,omitempty"`
	Mod      int64  `json:"mod,omitempty"`
	Version  int64  `json:"version,omitempty"`
	Lease    string `json:"lease,omitempty"`
	TTL      int64  `json:"ttl,omitempty"` // of the lease, in seconds
}

// leaseName returns a lease's id as etcd's tools write it; "" for no lease.
func leaseName[ID ~int64](id ID) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(id), 16)
}

// stateOf returns the state of a key from a get.
func stateOf(key string, got *clientv3.GetResponse) keyState {
	s := keyState{Key: []byte(key), Revision: got.Header.Revision}
	if len(got.Kvs) > 0 {
		kv := got.Kvs[0]
		s.Exists, s.Value, s.Size, s.Create, s.Mod, s.Version, s.Lease =
			true, kv.Value, len(kv.Value), kv.CreateRevision, kv.ModRevision, kv.Version, leaseName(kv.Lease)
	}
	return s
}

// getKey reads a key, now or as of an earlier revision.
func getKey(r *request) (any, error) {
	key, err := r.bytes("key")
	if err != nil {
		return nil, err
	}
	rev, err := r.number("rev")
	if err != nil {
		return nil, err
	}
	if len(key) == 0 {
		return nil, badRequest("a key is needed")
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	got, err := r.client.Get(ctx, string(key), clientv3.WithRev(rev))
	if err != nil {
		return nil, err
	}
	s := stateOf(string(key), got)
	if s.Lease != "" && rev == 0 {
		// without an answer the TTL is not shown
		if ttl, err := r.client.TimeToLive(ctx, clientv3.LeaseID(got.Kvs[0].Lease)); err == nil {
			s.TTL = ttl.TTL
		}
	}
	return s, nil
}

// putKey writes a key if it is still the one that the page has shown: with mod revision Mod, 0 for
// a key that did not exist. The key keeps its lease. A new key can get a new lease with a TTL in
// seconds, which is not kept alive, or an existing one.
func putKey(r *request) (any, error) {
	var in struct {
		Key, Value []byte
		Mod        *int64
		TTL        int64
		Lease      string
	}
	if err := decode(r.Request, &in); err != nil {
		return nil, err
	}
	if len(in.Key) == 0 || in.Mod == nil || *in.Mod < 0 {
		return nil, badRequest("a key is needed, and the mod revision at which it was seen")
	}
	lease, err := strconv.ParseUint(in.Lease, 16, 64)
	switch {
	case in.Lease != "" && (err != nil || lease == 0):
		return nil, badRequest("there is no lease " + printable(in.Lease))
	case in.TTL < 0 || in.TTL > longestLease:
		return nil, badRequest(fmt.Sprintf("a lease lasts 1 to %d seconds", longestLease))
	case in.TTL > 0 && in.Lease != "":
		return nil, badRequest("a key has one lease: give a new one or an existing one, not both")
	case *in.Mod != 0 && (in.TTL > 0 || in.Lease != ""):
		return nil, badRequest("only a new key can be given a lease here")
	}
	if err := r.beginKnown("put", auditOf(in.Key), "", auditOf(in.Value)); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	key := string(in.Key)
	opts := []clientv3.OpOption{clientv3.WithPrevKV()}
	if *in.Mod != 0 {
		opts = append(opts, clientv3.WithIgnoreLease())
	}
	id := clientv3.LeaseID(lease)
	if in.TTL > 0 {
		granted, err := r.client.Grant(ctx, in.TTL)
		if err != nil {
			return nil, err
		}
		id = granted.ID
	}
	if id != 0 {
		opts = append(opts, clientv3.WithLease(id))
		r.change.After += " under lease " + leaseName(id)
	}
	t, err := r.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", *in.Mod)).
		Then(clientv3.OpPut(key, string(in.Value), opts...)).
		Else(clientv3.OpGet(key)).
		Commit()
	if in.TTL > 0 && (err == nil && !t.Succeeded || err != nil && !clientv3.OutcomeUnknown(err)) {
		_, _ = r.client.Revoke(ctx, id) // the key does not use it; if the call fails, it expires
	}
	if err != nil {
		return nil, err
	}
	if !t.Succeeded {
		return nil, conflict("somebody else changed the key meanwhile; nothing was written",
			stateOf(key, (*clientv3.GetResponse)(t.Responses[0].GetResponseRange())))
	}
	if prev := t.Responses[0].GetResponsePut().PrevKv; prev != nil {
		r.change.Before = auditOf(prev.Value)
	}
	return struct {
		Mod int64 `json:"mod"`
	}{t.Header.Revision}, nil
}

// conflict refuses a change because its target has changed since it was shown.
func conflict(message string, detail any) error {
	return &apiError{Status: http.StatusConflict, Code: "conflict", Message: message, Detail: detail}
}
