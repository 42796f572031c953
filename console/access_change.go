package console

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// accessChange is a change of users and roles. A page requests its plan, shows it, and sends the
// change back with the revision of users and roles that the plan is based on. etcd has no condition
// for that: a change by another client at that very moment goes unnoticed.
type accessChange struct {
	Action   string      `json:"action"`
	User     string      `json:"user,omitempty"`
	Role     string      `json:"role,omitempty"`
	Password string      `json:"password,omitempty"` // "" for a user who signs in with a certificate
	May      *permission `json:"may,omitempty"`
	Seen     uint64      `json:"seen,omitempty"`
}

// accessPlan is what a change will do.
type accessPlan struct {
	Title    string   `json:"title"`
	Effects  []string `json:"effects"`
	Warnings []string `json:"warnings,omitempty"`
	Seen     uint64   `json:"seen"`

	target, before, after string // for the audit log
	do                    func(context.Context, clientv3.Auth) error
}

// accessState is the state that a plan is based on.
type accessState struct {
	enabled  bool
	revision uint64
	own      string              // the user of the session
	users    map[string][]string // their roles, by user
	roles    map[string][]permission
}

func lookAtAccess(ctx context.Context, r *request) (*accessState, error) {
	status, err := r.client.AuthStatus(ctx)
	if err != nil {
		return nil, err
	}
	st := &accessState{
		enabled:  status.Enabled,
		revision: status.AuthRevision,
		own:      r.session.user,
		users:    make(map[string][]string),
		roles:    make(map[string][]permission),
	}
	users, roles, err := everybody(ctx, r.client)
	if err != nil {
		return nil, err
	}
	for _, n := range users {
		st.users[n] = nil
	}
	for _, n := range roles {
		st.roles[n] = nil
	}
	return st, nil
}

// know reads the users and roles that a change is about.
func (st *accessState) know(ctx context.Context, auth clientv3.Auth, ch *accessChange) error {
	for name := range st.users {
		// The plan lists the users of a role that is deleted, so all users have to be read.
		if name != ch.User && (ch.Action != "role-delete" || len(st.users) > accessMost) {
			continue
		}
		got, err := auth.UserGet(ctx, name)
		if err != nil {
			return err
		}
		st.users[name] = got.Roles
	}
	if _, ok := st.roles[ch.Role]; ok {
		got, err := auth.RoleGet(ctx, ch.Role)
		if err != nil {
			return err
		}
		st.roles[ch.Role] = permissions(got)
	}
	return nil
}

// permissions returns a role's permissions in the form that pages show.
func permissions(got *clientv3.AuthRoleGetResponse) []permission {
	all := []permission{}
	for _, p := range got.Perm {
		all = append(all, permission{Key: p.Key, End: p.RangeEnd, Type: p.PermType.String()})
	}
	return all
}

// has reports whether a user has a role.
func (st *accessState) has(user, role string) bool { return slices.Contains(st.users[user], role) }

// String describes a permission in words.
func (p permission) String() string {
	what := map[string]string{"READ": "read ", "WRITE": "write ", "READWRITE": "read and write "}[p.Type]
	key, end := auditOf(p.Key), string(p.End)
	switch {
	case end == "":
		return what + key + " alone"
	case end == "\x00" && (len(p.Key) == 0 || string(p.Key) == "\x00"):
		return what + "all keys"
	case end == "\x00":
		return what + "from " + key + " on"
	case end == prefixEnd(string(p.Key)):
		return what + "all keys that begin with " + key
	}
	return what + "from " + key + " up to, without, " + auditOf(p.End)
}

// granted describes permissions in words, the first ten of them.
func granted(all []permission) string {
	if len(all) > 10 {
		return permitted(all[:10]) + fmt.Sprintf("; and %d more", len(all)-10)
	}
	return permitted(all)
}

// permitted describes permissions in words.
func permitted(all []permission) string {
	if len(all) == 0 {
		return "nothing"
	}
	words := make([]string, len(all))
	for i, p := range all {
		words[i] = p.String()
	}
	return strings.Join(words, "; ")
}

// withRoles describes a user for the audit log.
func withRoles(roles []string) string {
	if len(roles) == 0 {
		return "has no roles"
	}
	return "has the roles: " + strings.Join(slices.Sorted(slices.Values(roles)), ", ")
}

var accessPlanners = map[string]func(*accessPlan, *accessState, *accessChange) error{
	"user-add": planUserAdd, "user-delete": planUserDelete, "user-password": planUserPassword,
	"user-grant": planUserGrant, "user-revoke": planUserRevoke,
	"role-add": planRoleAdd, "role-delete": planRoleDelete, "role-grant": planRoleGrant, "role-revoke": planRoleRevoke,
}

// planAccess returns the plan of a change, or the reason why it is refused. It makes no requests.
func planAccess(ch *accessChange, st *accessState) (*accessPlan, error) {
	p := &accessPlan{Seen: st.revision}
	planner, ok := accessPlanners[ch.Action]
	if !ok {
		return nil, badRequest("there is no action " + printable(ch.Action))
	}
	_, user := st.users[ch.User]
	_, role := st.roles[ch.Role]
	wants := strings.HasPrefix(ch.Action, "user-") && ch.Action != "user-add"
	switch {
	case wants && !user:
		return nil, refuse("there is no user %s (any more)", printable(ch.User))
	case (ch.Action == "user-grant" || strings.HasPrefix(ch.Action, "role-") && ch.Action != "role-add") && !role &&
		ch.Role != "root":
		return nil, refuse("there is no role %s (any more)", printable(ch.Role))
	}
	if err := planner(p, st, ch); err != nil {
		return nil, err
	}
	if !st.enabled {
		p.Warnings = append(p.Warnings, "Authentication is off: everybody may do everything until it is switched on.")
	}
	return p, nil
}

// named refuses names that a user could not type again.
func named(kind, name string) error {
	if name == "" || strings.TrimSpace(name) != name || len(name) > 200 || strings.ContainsAny(name, ":\x00\n\r\t") {
		return badRequest(
			"the name of a " + kind +
				" has 1 to 200 characters, no spaces at its ends, no colons and no control characters",
		)
	}
	return nil
}

func planUserAdd(p *accessPlan, st *accessState, ch *accessChange) error {
	if err := named("user", ch.User); err != nil {
		return err
	}
	if _, ok := st.users[ch.User]; ok {
		return refuse("there is a user %s already", printable(ch.User))
	}
	p.Title, p.target, p.before, p.after = "Add this user?", "user "+ch.User, "does not exist",
		"has no roles, and a password"
	p.Effects = []string{ch.User + " has no roles at first, and may do nothing."}
	if ch.Password == "" {
		p.after = "has no roles, and no password"
		p.Effects = append(p.Effects,
			"Without a password this user can only authenticate by a certificate of that name.")
	}
	user, password := ch.User, ch.Password
	p.do = func(ctx context.Context, a clientv3.Auth) error {
		_, err := a.UserAddWithOptions(ctx, user, password, &clientv3.UserAddOptions{NoPassword: password == ""})
		return err
	}
	return nil
}

func planUserDelete(p *accessPlan, st *accessState, ch *accessChange) error {
	if ch.User == st.own {
		return refuse("you are %s; somebody else has to delete that user", ch.User)
	}
	if ch.User == "root" && st.enabled {
		return refuse("root is needed as long as authentication is on")
	}
	p.Title, p.target = "Delete this user?", "user "+ch.User
	p.before, p.after = withRoles(st.users[ch.User]), "does not exist"
	p.Effects = []string{
		ch.User +
			" can do nothing any more. Its requests are refused from now on; its watches may go on until they end.",
	}
	user := ch.User
	p.do = func(ctx context.Context, a clientv3.Auth) error { _, err := a.UserDelete(ctx, user); return err }
	return nil
}

func planUserPassword(p *accessPlan, st *accessState, ch *accessChange) error {
	if ch.Password == "" {
		return badRequest("a password is not empty")
	}
	p.Title, p.target, p.after = "Change the password?", "password of "+ch.User, "is another one"
	p.Effects = []string{
		"The old password of " + ch.User +
			" stops working now. Programs that use it fail when they log in the next time.",
	}
	if ch.User == st.own {
		p.Warnings = []string{"This is your own password: sign in again afterwards."}
	}
	user, password := ch.User, ch.Password
	p.do = func(ctx context.Context, a clientv3.Auth) error {
		_, err := a.UserChangePassword(ctx, user, password)
		return err
	}
	return nil
}

func planUserGrant(p *accessPlan, st *accessState, ch *accessChange) error {
	if st.has(ch.User, ch.Role) {
		return refuse("%s has the role %s already", ch.User, ch.Role)
	}
	had := st.users[ch.User]
	p.Title, p.target, p.before, p.after = "Give this role?", "user "+ch.User, withRoles(had),
		withRoles(append(slices.Clone(had), ch.Role))
	p.Effects = []string{
		fmt.Sprintf("From now on %s may do what %s may: %s.", ch.User, ch.Role, granted(st.roles[ch.Role])),
	}
	if ch.Role == "root" {
		p.Effects = []string{ch.User + " may do everything from now on, with the cluster, users and roles too."}
	}
	user, role := ch.User, ch.Role
	p.do = func(ctx context.Context, a clientv3.Auth) error {
		_, err := a.UserGrantRole(ctx, user, role)
		return err
	}
	return nil
}

func planUserRevoke(p *accessPlan, st *accessState, ch *accessChange) error {
	switch {
	case !st.has(ch.User, ch.Role):
		return refuse("%s has no role %s", ch.User, printable(ch.Role))
	case ch.User == "root" && ch.Role == "root" && st.enabled:
		return refuse("root is needed as long as authentication is on")
	}
	had := st.users[ch.User]
	p.Title, p.target, p.before, p.after = "Take this role away?", "user "+ch.User, withRoles(had),
		withRoles(slices.DeleteFunc(slices.Clone(had), func(r string) bool { return r == ch.Role }))
	p.Effects = []string{
		fmt.Sprintf("%s loses what only %s permits: %s.", ch.User, ch.Role, granted(st.roles[ch.Role])),
	}
	if ch.User == st.own {
		p.Warnings = []string{"This is your own role: you may be unable to undo this."}
	}
	user, role := ch.User, ch.Role
	p.do = func(ctx context.Context, a clientv3.Auth) error {
		_, err := a.UserRevokeRole(ctx, user, role)
		return err
	}
	return nil
}

func planRoleAdd(p *accessPlan, st *accessState, ch *accessChange) error {
	if err := named("role", ch.Role); err != nil {
		return err
	}
	if _, ok := st.roles[ch.Role]; ok {
		return refuse("there is a role %s already", printable(ch.Role))
	}
	p.Title, p.target, p.before, p.after = "Add this role?", "role "+ch.Role, "does not exist", "may do nothing"
	p.Effects = []string{ch.Role + " has no permissions at first."}
	role := ch.Role
	p.do = func(ctx context.Context, a clientv3.Auth) error { _, err := a.RoleAdd(ctx, role); return err }
	return nil
}

func planRoleDelete(p *accessPlan, st *accessState, ch *accessChange) error {
	if ch.Role == "root" && st.enabled {
		return refuse("root is needed as long as authentication is on")
	}
	var of []string
	for name := range st.users {
		if st.has(name, ch.Role) {
			of = append(of, name)
		}
	}
	slices.Sort(of)
	p.Title, p.target, p.after = "Delete this role?", "role "+ch.Role, "does not exist"
	p.before = "may: " + permitted(st.roles[ch.Role])
	if len(of) > 0 {
		p.before = "users: " + strings.Join(of, ", ") + "; may: " + permitted(st.roles[ch.Role])
	}
	p.Effects = []string{"Nobody has it."}
	switch {
	case len(st.users) > accessMost:
		p.Effects = []string{"All users who have it lose it; there are too many users to name them."}
	case len(of) > 0:
		p.Effects = []string{
			fmt.Sprintf(
				"These users lose it: %s. With it they lose what only this role permits: %s.",
				strings.Join(of, ", "),
				granted(st.roles[ch.Role]),
			),
		}
	}
	if slices.Contains(of, st.own) {
		p.Warnings = []string{"You have this role yourself: you may be unable to undo this."}
	}
	role := ch.Role
	p.do = func(ctx context.Context, a clientv3.Auth) error { _, err := a.RoleDelete(ctx, role); return err }
	return nil
}

// readPermission reads the permission that a change is about.
func readPermission(ch *accessChange) (kind authpb.Permission_Type, err error) {
	if ch.May == nil || len(ch.May.Key) == 0 {
		return 0, badRequest("a key or the beginning of keys is needed; \\x00 and an end of \\x00 are all keys")
	}
	n, ok := authpb.Permission_Type_value[ch.May.Type]
	if !ok {
		return 0, badRequest("a permission is READ, WRITE or READWRITE")
	}
	if end := string(ch.May.End); end != "" && end != "\x00" && end <= string(ch.May.Key) {
		return 0, badRequest("the end of a range lies behind its beginning")
	}
	return authpb.Permission_Type(n), nil
}

func planRoleGrant(p *accessPlan, st *accessState, ch *accessChange) error {
	kind, err := readPermission(ch)
	if err != nil {
		return err
	}
	if ch.Role == "root" {
		return refuse("root may do everything already")
	}
	p.Title, p.target, p.before, p.after = "Grant this?", "role "+ch.Role, "has no permission for these keys",
		"may "+ch.May.String()
	p.Effects = []string{"All users with the role " + ch.Role + " may " + ch.May.String() + "."}
	for _, old := range st.roles[ch.Role] {
		if string(old.Key) == string(ch.May.Key) && string(old.End) == string(ch.May.End) {
			if old.Type == ch.May.Type {
				return refuse("it has that permission already")
			}
			p.before = "may " + old.String()
			p.Effects = append(p.Effects, "This replaces: "+old.String()+".")
		}
	}
	role, may := ch.Role, *ch.May
	p.do = func(ctx context.Context, a clientv3.Auth) error {
		_, err := a.RoleGrantPermission(ctx, role, string(may.Key), string(may.End), clientv3.PermissionType(kind))
		return err
	}
	return nil
}

func planRoleRevoke(p *accessPlan, st *accessState, ch *accessChange) error {
	if ch.May == nil {
		return badRequest("a permission is needed")
	}
	i := slices.IndexFunc(st.roles[ch.Role], func(old permission) bool {
		return string(old.Key) == string(ch.May.Key) && string(old.End) == string(ch.May.End)
	})
	if i < 0 {
		return refuse("%s has no such permission (any more)", ch.Role)
	}
	old := st.roles[ch.Role][i]
	p.Title, p.target, p.before, p.after = "Take this permission away?", "role "+ch.Role, "may "+old.String(),
		"has no permission for these keys"
	p.Effects = []string{
		"Users with the role " + ch.Role + " may no longer " + old.String() + ", unless another permission lets them.",
	}
	role := ch.Role
	p.do = func(ctx context.Context, a clientv3.Auth) error {
		_, err := a.RoleRevokePermission(ctx, role, string(old.Key), string(old.End))
		return err
	}
	return nil
}

func readAccessChange(ctx context.Context, r *request) (*accessChange, *accessPlan, error) {
	ch := new(accessChange)
	if err := decode(r.Request, ch); err != nil {
		return nil, nil, err
	}
	st, err := lookAtAccess(ctx, r)
	if err == nil {
		err = st.know(ctx, r.client, ch)
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := planAccess(ch, st)
	return ch, p, err
}

// postAccessPlan shows the plan of a change.
func postAccessPlan(r *request) (any, error) {
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	_, p, err := readAccessChange(ctx, r)
	return p, err
}

// postAccess makes a change, if users and roles are still the same as in its plan.
func postAccess(r *request) (any, error) {
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	ch, p, err := readAccessChange(ctx, r)
	if err != nil {
		return nil, err
	}
	if ch.Seen != p.Seen {
		return nil, conflict("users or roles have changed since they were shown; nothing was changed", nil)
	}
	err = r.beginKnown(ch.Action, auditOf([]byte(p.target)), auditOf([]byte(p.before)), auditOf([]byte(p.after)))
	if err != nil {
		return nil, err
	}
	return nil, p.do(ctx, r.client)
}
