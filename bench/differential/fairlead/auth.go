// Code generated from package official. DO NOT EDIT.

package fairlead

import (
	"github.com/fairlead-go/fairlead/clientv3"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// In these steps Key is the user or role, Value the password or role, Opts the range of a
// permission.
var authCalls = map[string]call{
	"Authenticate": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Authenticate(ctx, s.Key, s.Value)
		r.out(resp, err)
	},
	"AuthEnable": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).AuthEnable(ctx)
		r.out(resp, err)
	},
	"AuthDisable": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).AuthDisable(ctx)
		r.out(resp, err)
	},
	"AuthStatus": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).AuthStatus(ctx)
		r.out(resp, err)
	},
	"UserAdd": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).UserAdd(ctx, s.Key, s.Value)
		r.out(resp, err)
	},
	// UserAddWithOptions: N is 0 for nil options, 1 for NoPassword, 2 for options without it.
	"UserAddWithOptions": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		var opt *clientv3.UserAddOptions
		if s.N > 0 {
			opt = &clientv3.UserAddOptions{NoPassword: s.N == 1}
		}
		resp, err := r.client(s).UserAddWithOptions(ctx, s.Key, s.Value, opt)
		r.out(resp, err)
	},
	"UserDelete": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).UserDelete(ctx, s.Key)
		r.out(resp, err)
	},
	"UserChangePassword": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).UserChangePassword(ctx, s.Key, s.Value)
		r.out(resp, err)
	},
	"UserGrantRole": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).UserGrantRole(ctx, s.Key, s.Value)
		r.out(resp, err)
	},
	"UserRevokeRole": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).UserRevokeRole(ctx, s.Key, s.Value)
		r.out(resp, err)
	},
	"UserGet": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).UserGet(ctx, s.Key)
		r.out(resp, err)
	},
	"UserList": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).UserList(ctx)
		r.out(resp, err)
	},
	"RoleAdd": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).RoleAdd(ctx, s.Key)
		r.out(resp, err)
	},
	"RoleDelete": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).RoleDelete(ctx, s.Key)
		r.out(resp, err)
	},
	"RoleGet": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).RoleGet(ctx, s.Key)
		r.out(resp, err)
	},
	"RoleList": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).RoleList(ctx)
		r.out(resp, err)
	},
	// RoleGrantPermission gives the role Key a permission of type N on the range [Value,
	// Opts[0].S).
	"RoleGrantPermission": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).RoleGrantPermission(ctx, s.Key, s.Value, end(s), clientv3.PermissionType(s.N))
		r.out(resp, err)
	},
	"RoleRevokePermission": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).RoleRevokePermission(ctx, s.Key, s.Value, end(s))
		r.out(resp, err)
	},
	// OwnToken gets Key with a token that the caller supplies: a wrong one, or that of the user
	// Ref with password Value.
	"OwnToken": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		token := "made up"
		if s.Ref != "" {
			resp, err := r.client(s).Authenticate(ctx, s.Ref, s.Value)
			if err != nil {
				r.out(nil, err)
				return
			}
			token = resp.Token
		}
		resp, err := r.client(s).Get(metadata.AppendToOutgoingContext(ctx, "token", token), s.Key)
		r.out(resp, err)
	},
	"StrToPermissionType": func(r *runner, s script.Step) {
		typ, err := clientv3.StrToPermissionType(s.Value)
		r.rec.Add("%v %s", typ, r.err(err))
	},
}

// end returns the end of a step's range.
func end(s script.Step) string {
	if len(s.Opts) == 0 {
		return ""
	}
	return s.Opts[0].S
}
