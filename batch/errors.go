package batch

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// overloaded: the servers have refused because they cannot take more, after the client has
// repeated the request for long enough. What they said of one request holds for all.
func overloaded(err error) bool {
	switch err {
	case rpctypes.ErrTooManyRequests, rpctypes.ErrNoSpace, rpctypes.ErrNoLeader, rpctypes.ErrInvalidAuthToken:
		return true
	}
	return false
}

// tooLarge: gRPC has refused a message above its limit. Of reads it was the answer; answers to
// writes are small, so it was the request, which was then not executed.
func tooLarge(err error) bool {
	return clientv3.Code(err) == codes.ResourceExhausted && !overloaded(err)
}

// noMember: at last there was no member to send the request to. Operations wait for one, or
// fail, as their own context says.
func noMember(err error) bool {
	var e *clientv3.Error
	if !errors.As(err, &e) || e.Status != codes.Unavailable || len(e.Tried) == 0 {
		return false
	}
	return e.Tried[len(e.Tried)-1].Member == ""
}

// named gives an error of a transaction the name of the call that its caller made, in a copy
// of its own.
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
