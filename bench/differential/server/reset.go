package server

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Reset empties the store, compacts its history, ends all leases, and removes all users and roles
// except root's. It returns the resulting revision.
func (s *Server) Reset(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.Fixed {
		return s.Revision(ctx)
	}
	if s.Fault != nil {
		if err := s.Fault("thaw"); err != nil {
			return 0, err
		}
	}
	rev, err := s.reset(ctx)
	if err != nil {
		return 0, fmt.Errorf(
			"server: reset: %w\nlast lines of the first member's log:\n%s",
			err,
			s.Cluster.Members()[0].LogTail(),
		)
	}
	return rev, nil
}

func (s *Server) reset(ctx context.Context) (int64, error) {
	if s.auth {
		if err := s.resetAuth(ctx); err != nil {
			return 0, err
		}
	}
	leases, err := s.lease.LeaseLeases(s.as(ctx), &pb.LeaseLeasesRequest{})
	if err != nil {
		return 0, err
	}
	for _, l := range leases.Leases {
		// It may expire meanwhile.
		_, err := s.lease.LeaseRevoke(s.as(ctx), &pb.LeaseRevokeRequest{ID: l.ID})
		if err != nil && rpctypes.Error(err) != rpctypes.ErrLeaseNotFound {
			return 0, err
		}
	}
	all := []byte{0}
	if _, err := s.kv.DeleteRange(s.as(ctx), &pb.DeleteRangeRequest{Key: all, RangeEnd: all}); err != nil {
		return 0, err
	}
	// Put a key and delete it again, so that there is something to compact.
	if err := s.Put(ctx, "reset", ""); err != nil {
		return 0, err
	}
	del, err := s.kv.DeleteRange(s.as(ctx), &pb.DeleteRangeRequest{Key: []byte("reset")})
	if err != nil {
		return 0, err
	}
	rev := del.Header.Revision
	if _, err := s.kv.Compact(s.as(ctx), &pb.CompactionRequest{Revision: rev}); err != nil {
		return 0, err
	}
	s.events.forget(rev - 1) // a watch may begin at rev
	return rev, nil
}

// login gets root's token; servers drop tokens when authentication is switched.
func (s *Server) login(ctx context.Context) error {
	r, err := s.access.Authenticate(ctx, &pb.AuthenticateRequest{Name: Root, Password: RootPassword})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = r.Token
	return nil
}

func (s *Server) enableAuth(ctx context.Context) error {
	_, err := s.access.UserAdd(ctx, &pb.AuthUserAddRequest{
		Name: Root, Password: RootPassword, Options: &authpb.UserAddOptions{},
	})
	if err != nil && rpctypes.Error(err) != rpctypes.ErrUserAlreadyExist {
		return err
	}
	_, err = s.access.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: Root})
	if err != nil && rpctypes.Error(err) != rpctypes.ErrRoleAlreadyExist {
		return err
	}
	if _, err := s.access.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: Root, Role: Root}); err != nil {
		return err
	}
	// A program that disabled authentication may have changed it.
	_, err = s.access.UserChangePassword(ctx, &pb.AuthUserChangePasswordRequest{Name: Root, Password: RootPassword})
	if err != nil {
		return err
	}
	if _, err := s.access.AuthEnable(ctx, &pb.AuthEnableRequest{}); err != nil {
		return err
	}
	return s.login(ctx)
}

func (s *Server) resetAuth(ctx context.Context) error {
	st, err := s.access.AuthStatus(ctx, &pb.AuthStatusRequest{})
	if err != nil {
		return err
	}
	if st.Enabled {
		err = s.login(ctx)
	} else {
		s.mu.Lock()
		s.token = ""
		s.mu.Unlock()
		err = s.enableAuth(ctx)
	}
	if err != nil {
		return err
	}
	users, err := s.access.UserList(s.as(ctx), &pb.AuthUserListRequest{})
	if err != nil {
		return err
	}
	for _, u := range users.Users {
		if u != Root {
			if _, err := s.access.UserDelete(s.as(ctx), &pb.AuthUserDeleteRequest{Name: u}); err != nil {
				return err
			}
		}
	}
	roles, err := s.access.RoleList(s.as(ctx), &pb.AuthRoleListRequest{})
	if err != nil {
		return err
	}
	for _, r := range roles.Roles {
		if r != Root {
			if _, err := s.access.RoleDelete(s.as(ctx), &pb.AuthRoleDeleteRequest{Role: r}); err != nil {
				return err
			}
		}
	}
	return nil
}
