package relapse_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

const lease = clientv3.LeaseID(7)

// server answers reads, except of secret keys. It does not say which keys the lease has.
type server struct {
	clientv3.KV
	clientv3.Lease
	secret map[string]bool
	fail   error // of every read of a single key
}

func (s *server) TimeToLive(
	context.Context,
	clientv3.LeaseID,
	...clientv3.LeaseOption,
) (*clientv3.LeaseTimeToLiveResponse, error) {
	return nil, rpctypes.ErrPermissionDenied
}

func (s *server) Txn(context.Context) clientv3.Txn { return &txn{s: s} }

type txn struct {
	clientv3.Txn
	s   *server
	ops []clientv3.Op
}

func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.ops = ops
	return t
}

func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	if t.s.fail != nil && len(t.ops) == 1 {
		return nil, t.s.fail
	}
	r := &clientv3.TxnResponse{Header: &pb.ResponseHeader{Revision: 7}}
	size := 0
	for _, op := range t.ops {
		size += len(op.KeyBytes())
	}
	if size > 1<<20 {
		return nil, rpctypes.ErrRequestTooLarge
	}
	for _, op := range t.ops {
		if t.s.secret[string(op.KeyBytes())] {
			return nil, rpctypes.ErrPermissionDenied
		}
		r.Responses = append(r.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
			ResponseRange: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Key: op.KeyBytes(), Lease: int64(lease)}}},
		}})
	}
	return r, nil
}

func look(t *testing.T, s *server, ended []string) (map[string]bool, error) {
	c := clientv3.NewCtxClient(t.Context())
	c.KV, c.Lease = s, s
	found := map[string]bool{}
	rev, err := relapse.Look(t.Context(), c, lease, time.Minute, func() []string { return ended },
		func(kv *mvccpb.KeyValue) { found[string(kv.Key)] = true })
	if err == nil && rev != 7 {
		t.Errorf("as of revision %d", rev)
	}
	return found, err
}

// Keys with long names are read in requests that servers accept.
func TestLookAtLongNames(t *testing.T) {
	var all []string
	for i := range 60 {
		all = append(all, strings.Repeat("k", 60_000)+fmt.Sprint(i))
	}
	if found, err := look(t, &server{}, all); err != nil || len(found) != len(all) {
		t.Errorf("found %d of %d, %v", len(found), len(all), err)
	}
}

// If a user may read only some of the keys, those are found, and the error says that there are
// others. Any other error ends the look.
func TestLookOfALimitedUser(t *testing.T) {
	var all []string
	for i := range 250 {
		all = append(all, fmt.Sprint("k", i))
	}
	secret := map[string]bool{"k0": true, "k130": true, "k131": true}
	found, err := look(t, &server{secret: secret}, all)
	if !errors.Is(err, rpctypes.ErrPermissionDenied) || len(found) != 247 {
		t.Errorf("found %d, %v; want 247 and a denial", len(found), err)
	}
	for key := range secret {
		if found[key] {
			t.Errorf("%s was found", key)
		}
	}
	if found, err := look(t, &server{}, all); err != nil || len(found) != 250 {
		t.Errorf("may read all: found %d, %v", len(found), err)
	}
	broken := errors.New("broken")
	if _, err := look(t, &server{secret: secret, fail: broken}, all); !errors.Is(err, broken) {
		t.Errorf("an error that is no denial: %v", err)
	}
}
