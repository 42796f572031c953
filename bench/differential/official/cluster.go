package official

//lint:file-ignore SA1019 deprecated calls are compared too

import (
	"io"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// nobody is an id that no member has.
const nobody = 0x1234

var clusterCalls = map[string]call{
	"MemberList": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).MemberList(ctx, r.options(s.Opts)...)
		if err != nil {
			r.out(nil, err)
			return
		}
		r.members(resp.Header, resp.Members)
	},
	// MemberAdd adds a member whose peer address is Value.
	"MemberAdd": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).MemberAdd(ctx, []string{s.Value})
		if err != nil {
			r.out(nil, err)
			return
		}
		r.members(resp.Header, resp.Members)
	},
	"MemberAddAsLearner": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).MemberAddAsLearner(ctx, []string{s.Value})
		if err != nil {
			r.out(nil, err)
			return
		}
		r.members(resp.Header, resp.Members)
	},
	"MemberRemove": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).MemberRemove(ctx, nobody)
		r.out(resp, err)
	},
	"MemberUpdate": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).MemberUpdate(ctx, nobody, []string{s.Value})
		r.out(resp, err)
	},
	"MemberPromote": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).MemberPromote(ctx, nobody)
		r.out(resp, err)
	},
	"AlarmList": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).AlarmList(ctx)
		r.out(resp, err)
	},
	// AlarmDisarm disarms the alarm N without naming a member, or all alarms if N is 0.
	"AlarmDisarm": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		m := &clientv3.AlarmMember{Alarm: etcdserverpb.AlarmType(s.N)}
		if s.N > 0 {
			m.MemberID = nobody
		}
		resp, err := r.client(s).AlarmDisarm(ctx, m)
		r.out(resp, err)
	},
	"Defragment": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Defragment(ctx, r.endpoint(s))
		r.out(resp, err)
	},
	"Status": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Status(ctx, r.endpoint(s))
		r.out(resp, err)
	},
	"HashKV": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).HashKV(ctx, r.endpoint(s), r.base+s.N)
		if err == nil && resp.CompactRevision != 0 {
			resp.CompactRevision = r.base // the server compacts in the background
		}
		r.out(resp, err)
	},
	"MoveLeader": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).MoveLeader(ctx, nobody)
		r.out(resp, err)
	},
	"Downgrade": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Downgrade(ctx, clientv3.DowngradeAction(s.N), s.Value)
		r.out(resp, err)
	},
	"Snapshot": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		rc, err := r.client(s).Snapshot(ctx)
		if err != nil {
			r.out(nil, err)
			return
		}
		r.read(rc)
	},
	"SnapshotWithVersion": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).SnapshotWithVersion(ctx)
		if err != nil {
			r.out(nil, err)
			return
		}
		r.rec.Add("%s version %q", r.rec.Value(resp.Header), resp.Version)
		r.read(resp.Snapshot)
	},
}

// endpoint returns Value, or the member's address without one.
func (r *runner) endpoint(s script.Step) string {
	if s.Value != "" {
		return s.Value
	}
	return r.srv.Endpoints(false)[0]
}

// members records a list without the addresses and ids, which differ.
func (r *runner) members(header *etcdserverpb.ResponseHeader, list []*etcdserverpb.Member) {
	r.rec.Add("%s %d members", r.rec.Value(header), len(list))
	var lines []string
	for _, m := range list {
		line := "voter"
		if m.IsLearner {
			line = "learner"
		}
		if m.ID == 0 || len(m.PeerURLs) != 1 {
			line += ", no id or address"
		}
		lines = append(lines, line+" "+m.Name)
	}
	slices.Sort(lines)
	r.rec.Add("%q", lines)
}

// read reads a snapshot to its end. Databases differ in size.
func (r *runner) read(rc io.ReadCloser) {
	n, err := io.Copy(io.Discard, rc)
	r.rec.Add("something %v, %s, close %s", n > 4096, r.err(err), r.err(rc.Close()))
}
