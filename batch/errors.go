package batch

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// overloaded: the servers refused because they cannot take more, after the client had repeated the
// request for long enough. What they answered to one request holds for all.
func overloaded(err error) bool {
	switch err {
	case rpctypes.ErrTooManyRequests, rpctypes.ErrNoSpace, rpctypes.ErrNoLeader, rpctypes.ErrInvalidAuthToken:
		return true
	}
	return false
}

// tooLarge: gRPC refused a message above its limit. For reads that was the answer. Answers to
// writes are small, so for writes it was the request, which was then not executed.
func tooLarge(err error) bool {
	return clientv3.Code(err) == codes.ResourceExhausted && !overloaded(err)
}

// noMember: the last attempt found no member to send the request to. Each operation then waits for
// a member or fails, as its own context says.
func noMember(err error) bool {
	var e *clientv3.Error
	if !errors.As(err, &e) || e.Status != codes.Unavailable || len(e.Tried) == 0 {
		return false
	}
	return e.Tried[len(e.Tried)-1].Member == ""
}

// named puts the name of the caller's method into a copy of a transaction's error.
func named(err error, op *clientv3.Op) error {
	e, ok := err.(*clientv3.Error)
	if !ok {
		return err
	}
	c := *e
	switch {
	case op.IsGet():
		c.Method = "KV.Range"
	case op.IsPut():
		c.Method = "KV.Put"
	case op.IsDelete():
		c.Method = "KV.DeleteRange"
	}
	return &c
}
