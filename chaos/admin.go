package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Users of the cluster. The clients may only touch their prefix.
const (
	rootUser, rootPassword = "root", "of all"
	chaosUser, chaosPasswd = "chaos", "of some"
	space                  = "c/" // prefix of all keys of the clients
)

// admin talks to each member directly, past the faulty network, through generated stubs: the run
// must not learn the truth from the client that it judges.
type admin struct {
	cluster *etcdtest.Cluster
	conns   []*grpc.ClientConn // by member

	mu    sync.Mutex
	token []string // guarded by mu; root's, by member
}

func newAdmin(c *etcdtest.Cluster) (*admin, error) {
	a := &admin{cluster: c, token: make([]string, len(c.Members()))}
	for _, m := range c.Members() {
		cc, err := grpc.NewClient("passthrough:///"+m.Direct, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{
					BaseDelay:  50 * time.Millisecond,
					Multiplier: 1.6,
					MaxDelay:   300 * time.Millisecond,
				},
				MinConnectTimeout: time.Second,
			}))
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		a.conns = append(a.conns, cc)
	}
	return a, nil
}

func (a *admin) close() error {
	var err error
	for _, cc := range a.conns {
		err = errors.Join(err, cc.Close())
	}
	return err
}

// enable makes the users and switches authentication on.
func (a *admin) enable(ctx context.Context) error {
	auth := pb.NewAuthClient(a.conns[0])
	ready := grpc.WaitForReady(true) // a busy machine takes longer for a connection than for the rest
	var err error
	do := func(what string, _ any, e error) {
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", what, e))
		}
	}
	for user, password := range map[string]string{rootUser: rootPassword, chaosUser: chaosPasswd} {
		r, e := auth.UserAdd(
			ctx,
			&pb.AuthUserAddRequest{Name: user, Password: password, Options: &authpb.UserAddOptions{}}, ready,
		)
		do("add a user", r, e)
		r2, e := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: user}, ready)
		do("add a role", r2, e)
		r3, e := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: user}, ready)
		do("grant a role", r3, e)
	}
	r, e := auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: chaosUser, Perm: &authpb.Permission{
		PermType: authpb.Permission_READWRITE, Key: []byte(space), RangeEnd: []byte(prefixEnd(space)),
	}}, ready)
	do("grant a permission", r, e)
	r2, e := auth.AuthEnable(ctx, &pb.AuthEnableRequest{}, ready)
	do("enable authentication", r2, e)
	return err
}

func prefixEnd(p string) string { return p[:len(p)-1] + string(p[len(p)-1]+1) }

// login returns a context with root's token of a member. A token that a member refused is replaced
// after forget has dropped it.
func (a *admin) login(ctx context.Context, member int) (context.Context, error) {
	a.mu.Lock()
	t := a.token[member]
	a.mu.Unlock()
	if t == "" {
		r, err := pb.NewAuthClient(a.conns[member]).
			Authenticate(ctx, &pb.AuthenticateRequest{Name: rootUser, Password: rootPassword})
		if err != nil {
			return nil, err
		}
		t = r.Token
		a.mu.Lock()
		a.token[member] = t
		a.mu.Unlock()
	}
	return metadata.AppendToOutgoingContext(ctx, "token", t), nil
}

func (a *admin) forget(member int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token[member] = ""
}

// as calls f as root on a member, twice if the first time failed, since the token may
// have been too old.
func (a *admin) as(ctx context.Context, member int, f func(ctx context.Context, cc *grpc.ClientConn) error) error {
	var err error
	for range 2 {
		var tctx context.Context
		if tctx, err = a.login(ctx, member); err == nil {
			if err = f(tctx, a.conns[member]); err == nil {
				return nil
			}
		}
		a.forget(member)
	}
	return err
}

// any calls f as root on one member after the other until it succeeds.
func (a *admin) any(ctx context.Context, f func(ctx context.Context, cc *grpc.ClientConn) error) error {
	var err error
	for m := range a.conns {
		mctx, cancel := context.WithTimeout(ctx, time.Second)
		e := a.as(mctx, m, f)
		cancel()
		if e == nil {
			return nil
		}
		err = errors.Join(err, e)
	}
	return err
}

// once calls f as root on the leader, one time.
func (a *admin) once(ctx context.Context, f func(ctx context.Context, cc *grpc.ClientConn) error) error {
	l, err := a.cluster.FindLeader(ctx)
	if err != nil {
		return err
	}
	for i, m := range a.cluster.Members() {
		if m == l {
			tctx, err := a.login(ctx, i)
			if err != nil {
				return err
			}
			err = f(tctx, a.conns[i])
			if err != nil {
				a.forget(i)
			}
			return err
		}
	}
	return errors.New("the leader is none of the members")
}

// revision returns the store's present revision.
func (a *admin) revision(ctx context.Context) (int64, error) {
	var rev int64
	err := a.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
		r, err := pb.NewKVClient(cc).Range(ctx, &pb.RangeRequest{Key: []byte(space)})
		if err == nil {
			rev = r.Header.Revision
		}
		return err
	})
	return rev, err
}

func (a *admin) compact(ctx context.Context, rev int64) error {
	return a.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
		_, err := pb.NewKVClient(cc).Compact(ctx, &pb.CompactionRequest{Revision: rev})
		return err
	})
}

func (a *admin) defragment(ctx context.Context, member int) error {
	return a.as(ctx, member, func(ctx context.Context, cc *grpc.ClientConn) error {
		_, err := pb.NewMaintenanceClient(cc).Defragment(ctx, &pb.DefragmentRequest{})
		return err
	})
}

// roles adds a role and deletes it again. Each change makes members refuse all simple tokens until
// their owners log in again.
func (a *admin) roles(ctx context.Context) error {
	add := a.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(cc).RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "passing"})
		return err
	})
	return errors.Join(add, a.any(ctx, func(ctx context.Context, cc *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(cc).RoleDelete(ctx, &pb.AuthRoleDeleteRequest{Role: "passing"})
		return err
	}))
}

func (a *admin) moveLeader(ctx context.Context, to int) error {
	l, err := a.cluster.FindLeader(ctx)
	if err != nil {
		return err
	}
	for i, m := range a.cluster.Members() {
		if m != l {
			continue
		}
		id, err := a.cluster.Members()[to].ID(ctx)
		if err != nil {
			return err
		}
		return a.as(ctx, i, func(ctx context.Context, cc *grpc.ClientConn) error {
			_, err := pb.NewMaintenanceClient(cc).MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: id})
			return err
		})
	}
	return errors.New("the leader is none of the members")
}
