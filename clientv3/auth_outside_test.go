package clientv3_test

import (
	"context"
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestTokensOfOutsideCalls: a program may make calls and streams on a connection of the client.
// They get a new token when theirs is refused, whether or not the client makes calls of its own.
func TestTokensOfOutsideCalls(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{})
	root := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass"})
	admin := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "root", Password: "root"})
	dialled, err := c.Dial(cl.Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	ctx := ctxFor(t, long)
	get := &pb.RangeRequest{Key: []byte("user/k")}
	on := func(cc grpc.ClientConnInterface) func() error {
		return func() error { _, err := pb.NewKVClient(cc).Range(ctx, get); return err }
	}
	kv := clientv3.NewKVFromKVClient(pb.NewKVClient(c.ActiveConnection()), c)
	for name, call := range map[string]func() error{
		"ActiveConnection": on(c.ActiveConnection()),
		"Dial":             on(dialled),
		"a KV of it":       func() error { _, err := kv.Get(ctx, "user/k"); return err },
		"a watch on it": func() error {
			w, err := pb.NewWatchClient(c.ActiveConnection()).Watch(ctx)
			if err != nil {
				return err
			}
			err = w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
				CreateRequest: &pb.WatchCreateRequest{Key: []byte("user/k")},
			}})
			if err != nil {
				return err
			}
			r, err := w.Recv()
			if err == nil && r.Canceled {
				err = errors.New(r.CancelReason)
			}
			return errors.Join(err, w.CloseSend())
		},
		"RetryMaintenanceClient": func() error {
			_, err := clientv3.RetryMaintenanceClient(admin, admin.ActiveConnection()).Alarm(ctx, &pb.AlarmRequest{})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s, at first: %v", name, err)
		}
		// Setting a password voids all tokens of its user, even if it is the same as before.
		for _, who := range []struct{ name, password string }{{"user", "pass"}, {"root", "root"}} {
			if _, err := root.UserChangePassword(ctx, who.name, who.password); err != nil {
				t.Fatal(err)
			}
		}
		if err := call(); err != nil {
			t.Errorf("%s, with a void token: %v", name, err)
		}
	}
	wrong := &pb.RangeRequest{Key: []byte("other")}
	if _, err := pb.NewKVClient(c.ActiveConnection()).Range(ctx, wrong); !errors.Is(
		rpctypes.Error(err), rpctypes.ErrPermissionDenied) {
		t.Errorf("a key that the user may not read: %v", err)
	}
	if _, err := root.AuthDisable(ctx); err != nil {
		t.Fatal(err)
	}
	if err := on(c.ActiveConnection())(); err != nil {
		t.Errorf("without authentication: %v", err)
	}
}

// TestOutsideCallsThatCannotLogIn end with their context, with gRPC's code for that.
func TestOutsideCallsThatCannotLogIn(t *testing.T) {
	t.Parallel()
	cl := withAuth(t, etcdtest.Options{Proxied: true})
	cl.Members()[0].Proxy().BlackHole()
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), Username: "user", Password: "pass", LazyLogin: true})
	for name, call := range map[string]func(context.Context) error{
		"a call": func(ctx context.Context) error {
			_, err := pb.NewKVClient(c.ActiveConnection()).Range(ctx, &pb.RangeRequest{Key: []byte("user/k")})
			return err
		},
		"a stream": func(ctx context.Context) error {
			_, err := pb.NewWatchClient(c.ActiveConnection()).Watch(ctx)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := call(ctx); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if err := call(ctx); status.Code(err) != codes.Canceled {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
}
