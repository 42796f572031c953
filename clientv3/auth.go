package clientv3

import (
	"context"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Responses of Auth. They are the wire messages under names of this package.
type (
	AuthEnableResponse               pb.AuthEnableResponse
	AuthDisableResponse              pb.AuthDisableResponse
	AuthStatusResponse               pb.AuthStatusResponse
	AuthenticateResponse             pb.AuthenticateResponse
	AuthUserAddResponse              pb.AuthUserAddResponse
	AuthUserDeleteResponse           pb.AuthUserDeleteResponse
	AuthUserChangePasswordResponse   pb.AuthUserChangePasswordResponse
	AuthUserGrantRoleResponse        pb.AuthUserGrantRoleResponse
	AuthUserGetResponse              pb.AuthUserGetResponse
	AuthUserRevokeRoleResponse       pb.AuthUserRevokeRoleResponse
	AuthRoleAddResponse              pb.AuthRoleAddResponse
	AuthRoleGrantPermissionResponse  pb.AuthRoleGrantPermissionResponse
	AuthRoleGetResponse              pb.AuthRoleGetResponse
	AuthRoleRevokePermissionResponse pb.AuthRoleRevokePermissionResponse
	AuthRoleDeleteResponse           pb.AuthRoleDeleteResponse
	AuthUserListResponse             pb.AuthUserListResponse
	AuthRoleListResponse             pb.AuthRoleListResponse
)

// PermissionType is what a role may do with its keys.
type PermissionType authpb.Permission_Type

// Permission is a range of keys and what may be done with it.
type Permission authpb.Permission

const (
	PermRead      = authpb.Permission_READ
	PermWrite     = authpb.Permission_WRITE
	PermReadWrite = authpb.Permission_READWRITE
)

// UserAddOptions are the options of a new user.
type UserAddOptions authpb.UserAddOptions

// Auth manages authentication, users and roles. All methods are safe for
// concurrent use and honour their context.
type Auth interface {
	// Authenticate logs in and returns a token. The client does so by itself with
	// the name and password of its Config.
	Authenticate(ctx context.Context, name string, password string) (*AuthenticateResponse, error)

	// AuthEnable switches authentication on. The user root with the role root must
	// exist.
	AuthEnable(ctx context.Context) (*AuthEnableResponse, error)

	// AuthDisable switches authentication off.
	AuthDisable(ctx context.Context) (*AuthDisableResponse, error)

	// AuthStatus says whether authentication is on. Servers before 3.5 do not know the
	// call; for those only Enabled is set, learned from how they refuse a login without a name.
	AuthStatus(ctx context.Context) (*AuthStatusResponse, error)

	// UserAdd adds a user.
	UserAdd(ctx context.Context, name string, password string) (*AuthUserAddResponse, error)

	// UserAddWithOptions adds a user, for instance one without a password who
	// authenticates by a client certificate.
	UserAddWithOptions(
		ctx context.Context,
		name string,
		password string,
		opt *UserAddOptions,
	) (*AuthUserAddResponse, error)

	// UserDelete removes a user.
	UserDelete(ctx context.Context, name string) (*AuthUserDeleteResponse, error)

	// UserChangePassword changes a user's password.
	UserChangePassword(ctx context.Context, name string, password string) (*AuthUserChangePasswordResponse, error)

	// UserGrantRole gives a role to a user.
	UserGrantRole(ctx context.Context, user string, role string) (*AuthUserGrantRoleResponse, error)

	// UserGet returns a user's roles.
	UserGet(ctx context.Context, name string) (*AuthUserGetResponse, error)

	// UserList lists the users.
	UserList(ctx context.Context) (*AuthUserListResponse, error)

	// UserRevokeRole takes a role from a user.
	UserRevokeRole(ctx context.Context, name string, role string) (*AuthUserRevokeRoleResponse, error)

	// RoleAdd adds a role.
	RoleAdd(ctx context.Context, name string) (*AuthRoleAddResponse, error)

	// RoleGrantPermission lets a role work on the keys from key up to but not including rangeEnd;
	// on key alone if rangeEnd is empty.
	RoleGrantPermission(
		ctx context.Context,
		name string,
		key, rangeEnd string,
		permType PermissionType,
	) (*AuthRoleGrantPermissionResponse, error)

	// RoleGet returns a role's permissions.
	RoleGet(ctx context.Context, role string) (*AuthRoleGetResponse, error)

	// RoleList lists the roles.
	RoleList(ctx context.Context) (*AuthRoleListResponse, error)

	// RoleRevokePermission takes a permission from a role.
	RoleRevokePermission(
		ctx context.Context,
		role string,
		key, rangeEnd string,
	) (*AuthRoleRevokePermissionResponse, error)

	// RoleDelete removes a role.
	RoleDelete(ctx context.Context, role string) (*AuthRoleDeleteResponse, error)
}

type authClient struct {
	remote  pb.AuthClient
	callOpt []grpc.CallOption
}

// NewAuth returns an Auth over the client's connection.
func NewAuth(c *Client) Auth { return &authClient{remote: RetryAuthClient(c)} }

// NewAuthFromAuthClient returns an Auth over any protobuf client; c gives the call
// options and may be nil.
func NewAuthFromAuthClient(remote pb.AuthClient, c *Client) Auth {
	return &authClient{remote: remote, callOpt: c.callOptions()}
}

func (a *authClient) Authenticate(ctx context.Context, name, password string) (*AuthenticateResponse, error) {
	r, err := invoke(
		ctx,
		"Auth.Authenticate",
		a.callOpt,
		a.remote.Authenticate,
		&pb.AuthenticateRequest{Name: name, Password: password},
	)
	return (*AuthenticateResponse)(r), err
}

func (a *authClient) AuthEnable(ctx context.Context) (*AuthEnableResponse, error) {
	r, err := invoke(ctx, "Auth.AuthEnable", a.callOpt, a.remote.AuthEnable, &pb.AuthEnableRequest{})
	return (*AuthEnableResponse)(r), err
}

func (a *authClient) AuthDisable(ctx context.Context) (*AuthDisableResponse, error) {
	r, err := invoke(ctx, "Auth.AuthDisable", a.callOpt, a.remote.AuthDisable, &pb.AuthDisableRequest{})
	return (*AuthDisableResponse)(r), err
}

func (a *authClient) AuthStatus(ctx context.Context) (*AuthStatusResponse, error) {
	r, err := invoke(ctx, "Auth.AuthStatus", a.callOpt, a.remote.AuthStatus, &pb.AuthStatusRequest{})
	if etcderr.Code(err) == codes.Unimplemented {
		return a.statusByLogin(ctx)
	}
	return (*AuthStatusResponse)(r), err
}

// statusByLogin finds out whether authentication is on where the server cannot be
// asked: it says so before it looks at names and passwords. Nobody can have an empty
// name.
func (a *authClient) statusByLogin(ctx context.Context) (*AuthStatusResponse, error) {
	_, err := a.Authenticate(ctx, "", "")
	switch {
	case SameError(err, rpctypes.ErrAuthNotEnabled):
		return &AuthStatusResponse{Header: &pb.ResponseHeader{}}, nil
	case err == nil, SameError(err, rpctypes.ErrAuthFailed):
		return &AuthStatusResponse{Header: &pb.ResponseHeader{}, Enabled: true}, nil
	}
	return nil, err
}

func (a *authClient) UserAdd(ctx context.Context, name, password string) (*AuthUserAddResponse, error) {
	return a.UserAddWithOptions(ctx, name, password, &UserAddOptions{})
}

func (a *authClient) UserAddWithOptions(
	ctx context.Context,
	name, password string,
	opt *UserAddOptions,
) (*AuthUserAddResponse, error) {
	r, err := invoke(ctx, "Auth.UserAdd", a.callOpt, a.remote.UserAdd,
		&pb.AuthUserAddRequest{Name: name, Password: password, Options: (*authpb.UserAddOptions)(opt)})
	return (*AuthUserAddResponse)(r), err
}

func (a *authClient) UserDelete(ctx context.Context, name string) (*AuthUserDeleteResponse, error) {
	r, err := invoke(ctx, "Auth.UserDelete", a.callOpt, a.remote.UserDelete, &pb.AuthUserDeleteRequest{Name: name})
	return (*AuthUserDeleteResponse)(r), err
}

func (a *authClient) UserChangePassword(
	ctx context.Context,
	name, password string,
) (*AuthUserChangePasswordResponse, error) {
	r, err := invoke(ctx, "Auth.UserChangePassword", a.callOpt, a.remote.UserChangePassword,
		&pb.AuthUserChangePasswordRequest{Name: name, Password: password})
	return (*AuthUserChangePasswordResponse)(r), err
}

func (a *authClient) UserGrantRole(ctx context.Context, user, role string) (*AuthUserGrantRoleResponse, error) {
	r, err := invoke(
		ctx,
		"Auth.UserGrantRole",
		a.callOpt,
		a.remote.UserGrantRole,
		&pb.AuthUserGrantRoleRequest{User: user, Role: role},
	)
	return (*AuthUserGrantRoleResponse)(r), err
}

func (a *authClient) UserGet(ctx context.Context, name string) (*AuthUserGetResponse, error) {
	r, err := invoke(ctx, "Auth.UserGet", a.callOpt, a.remote.UserGet, &pb.AuthUserGetRequest{Name: name})
	return (*AuthUserGetResponse)(r), err
}

func (a *authClient) UserList(ctx context.Context) (*AuthUserListResponse, error) {
	r, err := invoke(ctx, "Auth.UserList", a.callOpt, a.remote.UserList, &pb.AuthUserListRequest{})
	return (*AuthUserListResponse)(r), err
}

func (a *authClient) UserRevokeRole(ctx context.Context, name, role string) (*AuthUserRevokeRoleResponse, error) {
	r, err := invoke(
		ctx,
		"Auth.UserRevokeRole",
		a.callOpt,
		a.remote.UserRevokeRole,
		&pb.AuthUserRevokeRoleRequest{Name: name, Role: role},
	)
	return (*AuthUserRevokeRoleResponse)(r), err
}

func (a *authClient) RoleAdd(ctx context.Context, name string) (*AuthRoleAddResponse, error) {
	r, err := invoke(ctx, "Auth.RoleAdd", a.callOpt, a.remote.RoleAdd, &pb.AuthRoleAddRequest{Name: name})
	return (*AuthRoleAddResponse)(r), err
}

func (a *authClient) RoleGrantPermission(
	ctx context.Context,
	name, key, rangeEnd string,
	permType PermissionType,
) (*AuthRoleGrantPermissionResponse, error) {
	r, err := invoke(ctx, "Auth.RoleGrantPermission", a.callOpt, a.remote.RoleGrantPermission,
		&pb.AuthRoleGrantPermissionRequest{Name: name, Perm: &authpb.Permission{
			Key: []byte(key), RangeEnd: []byte(rangeEnd), PermType: authpb.Permission_Type(permType),
		}})
	return (*AuthRoleGrantPermissionResponse)(r), err
}

func (a *authClient) RoleGet(ctx context.Context, role string) (*AuthRoleGetResponse, error) {
	r, err := invoke(ctx, "Auth.RoleGet", a.callOpt, a.remote.RoleGet, &pb.AuthRoleGetRequest{Role: role})
	return (*AuthRoleGetResponse)(r), err
}

func (a *authClient) RoleList(ctx context.Context) (*AuthRoleListResponse, error) {
	r, err := invoke(ctx, "Auth.RoleList", a.callOpt, a.remote.RoleList, &pb.AuthRoleListRequest{})
	return (*AuthRoleListResponse)(r), err
}

func (a *authClient) RoleRevokePermission(
	ctx context.Context,
	role, key, rangeEnd string,
) (*AuthRoleRevokePermissionResponse, error) {
	r, err := invoke(ctx, "Auth.RoleRevokePermission", a.callOpt, a.remote.RoleRevokePermission,
		&pb.AuthRoleRevokePermissionRequest{Role: role, Key: []byte(key), RangeEnd: []byte(rangeEnd)})
	return (*AuthRoleRevokePermissionResponse)(r), err
}

func (a *authClient) RoleDelete(ctx context.Context, role string) (*AuthRoleDeleteResponse, error) {
	r, err := invoke(ctx, "Auth.RoleDelete", a.callOpt, a.remote.RoleDelete, &pb.AuthRoleDeleteRequest{Role: role})
	return (*AuthRoleDeleteResponse)(r), err
}

// StrToPermissionType reads "read", "write" or "readwrite", in any case.
func StrToPermissionType(s string) (PermissionType, error) {
	if t, ok := authpb.Permission_Type_value[strings.ToUpper(s)]; ok {
		return PermissionType(t), nil
	}
	return PermissionType(-1), etcderr.Invalid("", "invalid permission type: %s", s)
}

// invoke makes a call of a generated client with the checks and the form of
// errors that all calls have. Requests and answers are pointers, so that all calls share its code.
func invoke[Req, Resp any](ctx context.Context, method string, opts []grpc.CallOption,
	call func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req) (resp Resp, err error) {
	if ctx == nil {
		return resp, errNilContext(method)
	}
	answer, err := call(ctx, req, opts...)
	if err != nil {
		return resp, ContextError(ctx, err)
	}
	return answer, nil
}
