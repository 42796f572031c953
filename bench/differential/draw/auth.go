package draw

import "github.com/fairlead-go/fairlead/bench/differential/script"

var (
	users     = []string{"u", "u", "v", "w", ""}
	roles     = []string{"reader", "reader", "writer", "both", ""}
	passwords = []string{"pw", "pw", "pw", "other", ""}
)

// access: users with limited roles, managed by root and by themselves.
func access(d *drawer) script.Program {
	d.stacked = true // see compactions
	clients := []string{""}
	role := pick(d, []string{"reader", "writer", "both"})
	d.add(
		script.Step{Call: "UserAdd", Key: "u", Value: "pw"},
		script.Step{Call: "RoleAdd", Key: role},
		script.Step{
			Call:  "RoleGrantPermission",
			Key:   role,
			Value: "a",
			N:     int64(d.IntN(3)),
			Opts:  []script.Option{{Name: "End", S: pick(d, []string{"", "b", "\x00"})}},
		},
		script.Step{
			Call:  "UserGrantRole",
			Key:   "u",
			Value: role,
		},
		script.Step{Call: "New", Name: "u", Key: "u", Value: "pw"},
	)
	clients = append(clients, "u", "u", "u")
	d.begin()
	on := func(s script.Step) {
		s.On = pick(d, clients)
		d.add(s)
	}
	managing := func(call, key, value string) {
		s := script.Step{Call: call, Key: key, Value: value, Ctx: d.context()}
		if d.chance(25) {
			s.On = pick(d, clients)
		}
		d.add(s)
	}
	d.some(d.length()+5,
		choice{20, func() { on(d.get()) }},
		choice{20, func() { on(d.put()) }},
		choice{6, func() { on(d.del()) }},
		choice{8, func() { on(d.commit()) }},
		choice{4, func() { on(d.stream()) }},
		choice{6, func() { on(d.watch()) }},
		choice{4, func() { d.onWatch("Collect") }},
		choice{2, func() { on(script.Step{Call: "Compact", N: 1}) }},
		choice{2, func() { on(script.Step{Call: "Leases"}) }},
		choice{2, func() { on(script.Step{Call: "Revoke", Ref: d.lease()}) }},
		choice{2, func() { on(script.Step{Call: "KeepAliveOnce", Ref: d.lease()}) }},
		choice{2, func() {
			on(script.Step{Call: "TimeToLive", Ref: d.lease(), Opts: []script.Option{opt("WithAttachedKeys")}})
		}},
		choice{2, func() { on(script.Step{Call: "MemberList"}) }},
		choice{2, func() {
			on(script.Step{Call: pick(d, []string{"Status", "AlarmList", "Snapshot", "Defragment", "HashKV"})})
		}},
		choice{4, func() {
			s := script.Step{Call: "New", Name: d.name("c"), Key: pick(d, users), Value: pick(d, passwords)}
			d.add(s)
			if s.Key == "u" && s.Value == "pw" {
				clients = append(clients, s.Name)
			}
		}},
		choice{3, func() { managing("UserAdd", pick(d, users), pick(d, passwords)) }},
		choice{2, func() {
			d.add(
				script.Step{
					Call:  "UserAddWithOptions",
					Key:   pick(d, users),
					Value: pick(d, passwords),
					N:     int64(d.IntN(3)),
				},
			)
		}},
		choice{2, func() { managing("UserDelete", pick(d, append(users, "root")), "") }},
		choice{3, func() { managing("UserChangePassword", pick(d, users), pick(d, passwords)) }},
		choice{3, func() { managing("UserGrantRole", pick(d, users), pick(d, append(roles, "root"))) }},
		choice{3, func() { managing("UserRevokeRole", pick(d, users), pick(d, roles)) }},
		choice{2, func() { managing("UserGet", pick(d, append(users, "root")), "") }},
		choice{2, func() { managing("UserList", "", "") }},
		choice{3, func() { managing("RoleAdd", pick(d, roles), "") }},
		choice{1, func() { managing("RoleDelete", pick(d, append(roles, "root")), "") }},
		choice{2, func() { managing("RoleGet", pick(d, append(roles, "root")), "") }},
		choice{2, func() { managing("RoleList", "", "") }},
		choice{4, func() {
			d.add(script.Step{Call: "RoleGrantPermission", Key: pick(d, roles), Value: d.key(), N: int64(d.IntN(4)),
				Opts: []script.Option{{Name: "End", S: d.key()}}})
		}},
		choice{2, func() {
			d.add(
				script.Step{
					Call:  "RoleRevokePermission",
					Key:   pick(d, roles),
					Value: d.key(),
					Opts:  []script.Option{{Name: "End", S: d.key()}},
				},
			)
		}},
		choice{2, func() { managing("Authenticate", pick(d, users), pick(d, passwords)) }},
		choice{1, func() { managing("AuthStatus", "", "") }},
		choice{1, func() { managing("AuthDisable", "", "") }},
		choice{1, func() { managing("AuthEnable", "", "") }},
		choice{2, func() {
			s := script.Step{Call: "OwnToken", Key: d.key()}
			if d.chance(60) {
				s.Ref, s.Value = "u", pick(d, passwords)
			}
			on(s)
		}},
		choice{1, func() {
			d.add(
				script.Step{
					Call:  "StrToPermissionType",
					Value: pick(d, []string{"read", "WRITE", "readwrite", "x", ""}),
				},
			)
		}},
	)
	p := d.program()
	p.Config.User, p.Config.Password = "root", "rootpw"
	return p
}
