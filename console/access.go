package console

import (
	"context"

	"github.com/fairlead-go/fairlead/clientv3"
)

// accessMost is how many users or roles are read one by one.
const accessMost = 200

// accessList is the users and roles.
type accessList struct {
	Enabled bool   `json:"enabled"`
	User    string `json:"user,omitempty"` // the user of the session
	Users   []user `json:"users"`          // those that this user may list
	Roles   []role `json:"roles"`          //
	Limited string `json:"limited"`        // the reason why that is not all
	More    bool   `json:"more,omitempty"` // there are more
}

type user struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

type role struct {
	Name        string       `json:"name"`
	Permissions []permission `json:"permissions"`
}

type permission struct {
	Key  []byte `json:"key"`
	End  []byte `json:"end"` // "" for the key alone, a zero byte for all keys from there on
	Type string `json:"type"`
}

func getAccess(r *request) (any, error) {
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	a := &accessList{User: r.session.user, Users: []user{}, Roles: []role{}}
	status, err := r.client.AuthStatus(ctx)
	if err != nil {
		if !refused(err) {
			return nil, err
		}
		a.Enabled = true // a refusal shows that authentication is on
	} else {
		a.Enabled = status.Enabled
	}
	names, roles, err := everybody(ctx, r.client)
	if err != nil {
		if !refused(err) {
			return nil, err
		}
		// Only root may list all; every user may read their own entry.
		a.Limited = err.Error()
		names = nil
		if a.User != "" {
			names = []string{a.User}
		}
	}
	a.More = len(names) > accessMost || len(roles) > accessMost
	seen := make(map[string]bool)
	for _, n := range names[:min(accessMost, len(names))] {
		u := user{Name: n, Roles: []string{}}
		got, err := r.client.UserGet(ctx, n)
		if err != nil {
			a.Limited = err.Error()
			continue
		}
		u.Roles = append(u.Roles, got.Roles...)
		a.Users = append(a.Users, u)
		if a.Limited != "" {
			roles = append(roles, got.Roles...)
		}
	}
	for _, n := range roles[:min(accessMost, len(roles))] {
		if seen[n] {
			continue
		}
		seen[n] = true
		got, err := r.client.RoleGet(ctx, n)
		if err != nil {
			a.Limited = err.Error()
			continue
		}
		a.Roles = append(a.Roles, role{Name: n, Permissions: permissions(got)})
	}
	return a, nil
}

func everybody(ctx context.Context, auth clientv3.Auth) (users, roles []string, err error) {
	u, err := auth.UserList(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := auth.RoleList(ctx)
	if err != nil {
		return nil, nil, err
	}
	return u.Users, r.Roles, nil
}
