package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// state is the value of the checkpoint, as JSON.
type state struct {
	Cluster uint64 `json:"cluster"` // id of the source
	Prefix  string `json:"prefix"`  // in the source, as etcd has it
	position
	Writer uint64 `json:"writer"` // the Run that wrote it
	Seq    int64  `json:"seq"`    // counts its attempts
}

// position is how far the target is.
type position struct {
	Revision int64   `json:"revision"` // of the source
	Complete bool    `json:"complete"` // the target shows that revision; false during a comparison
	Witness  witness `json:"witness"`  // what the source had at that revision
}

// checkpoint is the key of the target that says how far the target is. Every transaction replaces
// the checkpoint and is guarded by its mod revision, so that each transaction takes effect once,
// and none after a later one.
type checkpoint struct {
	key     string
	state   state
	mod     int64 // modification revision; 0 if it does not exist
	damaged bool  // it does not even say whose it is
}

// errLate is the error when a write that had failed was executed after all.
var errLate = errors.New("mirror: an earlier write came late")

// load reads the checkpoint; own reports whether this Run wrote it. Writer and Seq stay those of
// this Run. What cannot be read of it counts as nothing, so that both sides are compared. But at a
// place that the caller chose, what does not even name a cluster may be data.
func (c *checkpoint) load(
	ctx context.Context,
	target *clientv3.Client,
) (found, own bool, h *pb.ResponseHeader, err error) {
	r, err := target.Get(ctx, c.key)
	if err != nil {
		return false, false, nil, err
	}
	c.damaged = false
	if len(r.Kvs) == 0 {
		c.mod = 0
		return false, false, r.Header, nil
	}
	var s state
	if err := json.Unmarshal(r.Kvs[0].Value, &s); err != nil {
		s = state{Cluster: s.Cluster, Prefix: s.Prefix, Writer: s.Writer}
		c.damaged = s.Cluster == 0
		if c.damaged && !strings.HasPrefix(c.key, marks) {
			return false, false, nil, fmt.Errorf("mirror: key %q of the target is no checkpoint: %w", c.key, err)
		}
	}
	own = s.Writer == c.state.Writer
	s.Writer, s.Seq = c.state.Writer, c.state.Seq
	c.state, c.mod = s, r.Kvs[0].ModRevision
	return true, own, r.Header, nil
}

const (
	// patienceBase is how long the first attempt of a transaction may take. A follower with a
	// frozen leader lets a transaction wait for 7 s, although a new leader is elected after one or
	// two.
	patienceBase = 2 * time.Second
	// patienceMax bounds the time of an attempt, for slow targets.
	patienceMax = time.Minute
)

// unchanged is the guard of transactions: nobody has written the checkpoint since we read or wrote
// it.
func (c *checkpoint) unchanged() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(c.key), "=", c.mod)
}

// patiently makes attempts, each with more time, until one is answered. Requests that may have been
// executed are sent again, within an attempt too.
func patiently[T any](ctx context.Context, attempt func(context.Context) (T, error)) (r T, err error) {
	for patience := patienceBase; ; patience = min(2*patience, patienceMax) {
		bounded, cancel := context.WithTimeout(clientv3.WithRepeat(ctx), patience)
		r, err = attempt(bounded)
		cancel()
		if err == nil || ctx.Err() != nil || err != context.DeadlineExceeded {
			return r, err
		}
	}
}

// commit executes ops together with the move of the checkpoint.
func (c *checkpoint) commit(
	ctx context.Context,
	target *clientv3.Client,
	to position,
	ops []clientv3.Op,
) error {
	c.state.Seq++ // whether this succeeds or not, so that no two attempts look the same
	next := c.state
	next.position = to
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	then := append(slices.Clip(ops), clientv3.OpPut(c.key, string(text)))
	r, err := patiently(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return target.Txn(ctx).If(c.unchanged()).Then(then...).Else(clientv3.OpGet(c.key)).Commit()
	})
	if err != nil {
		return err
	}
	mod := r.Header.Revision
	if !r.Succeeded {
		kvs := r.Responses[0].GetResponseRange().Kvs
		var other state
		switch {
		case len(kvs) == 0 || json.Unmarshal(kvs[0].Value, &other) != nil || other.Writer != next.Writer:
			return ErrConflict
		case other != next:
			return errLate
		}
		mod = kvs[0].ModRevision // an earlier attempt was executed after all
	}
	c.state, c.mod = next, mod
	return nil
}
