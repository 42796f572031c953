package main

// mutant is one small wrong change: old, which is in the file once, becomes new. The tests of pkg
// that match should notice, or the chaos test.
type mutant struct {
	name     string
	file     string
	old, new string
	pkg      string
	tests    string
	chaos    bool
}

const (
	leases  = "./internal/lease"
	watches = "./internal/watch"
	locks   = "./clientv3/concurrency"
	wires   = "./internal/wire"
	caches  = "./cache"
	conns   = "./internal/balancer"
	batches = "./batch"
	memory  = "./clientv3/leasing"
	mirrors = "./clientv3/mirror"
	spaces  = "./clientv3/namespace"
	repeats = "./internal/retry"
	keeps   = "./discovery/internal/keep"
	service = "./discovery"
	follows = "./internal/follow"
	pairs   = "./internal/duplex"

	cores = "Scenario|Model|Core"
)

var mutants = []mutant{
	{name: "lease: the TTL counts from the answer", file: "internal/lease/renew.go",
		old: "l.sent, l.slept = p.sent, p.slept", new: "l.sent, l.slept = now, p.slept", pkg: leases, tests: cores},
	{name: "lease: an old answer counts", file: "internal/lease/renew.go",
		old: "case p.sent < l.sent:", new: "case p.sent < l.sent && l.ttl < 0:", pkg: leases, tests: cores},
	{name: "lease: a deposed leader is believed", file: "internal/lease/renew.go",
		old: "case term < c.term && c.stale < maxStale:", new: "case term < c.term && c.stale < 0:", pkg: leases, tests: cores},
	{name: "lease: sleep is not counted", file: "internal/lease/sleep.go",
		old: "l.sent + l.ttl - lossMargin - (c.slept - l.slept)", new: "l.sent + l.ttl - lossMargin", pkg: leases, tests: cores},
	{name: "lease: a stale answer after a sleep extends", file: "internal/lease/renew.go",
		old: "\t\t\tl.deadline = granted\n", new: "\t\t\tl.deadline = max(granted, now+c.patience(l))\n", pkg: leases, tests: cores},
	{name: "lease: queued twice after a sleep", file: "internal/lease/renew.go",
		old: "if l.state == waiting || l.state == outstanding && l.on == st {", new: "if l.state != ended {", pkg: leases, tests: cores},
	{name: "lease: patience does not grow", file: "internal/lease/patience.go",
		old: "\t\tp = min(2*p, limit)\n", new: "\t\tp = min(p, limit)\n", pkg: leases, tests: cores},
	{name: "lease: a late stream is not heard any more", file: "internal/lease/flow.go",
		old: "if st.late {\n\t\tst.late = false\n\t\tc.late--\n\t\tst.checkAt", new: "if st.late && st.gone {\n\t\tst.late = false\n\t\tc.late--\n\t\tst.checkAt", pkg: leases, tests: cores},
	{name: "lease: what was outstanding on a broken stream", file: "internal/lease/flow.go",
		old: "\tc.elsewhere(st, false)\n", new: "", pkg: leases, tests: cores},
	{name: "lease: a full stream stays full", file: "internal/lease/flow.go",
		old: "\tif len(st.out) <= st.room()/2 {\n", new: "\tif len(st.out) < 0 {\n", pkg: leases, tests: cores},

	{name: "watch: resumes at the last event", file: "internal/watch/event.go",
		old: "w.resume, w.floor = last+1, last+1", new: "w.resume, w.floor = last, last", pkg: watches, tests: cores},
	{name: "watch: resumes one too far", file: "internal/watch/event.go",
		old: "w.resume, w.floor = last+1, last+1", new: "w.resume, w.floor = last+2, last+1", pkg: watches, tests: cores},
	{name: "watch: fragments cut within a revision", file: "internal/watch/event.go",
		old: "\tn := len(evs) - 1\n", new: "\tn := len(evs)\n", pkg: watches, tests: cores},
	{name: "watch: progress for all counts for all", file: "internal/watch/progress.go",
		old: "if counts && w.state == stateActive", new: "if (counts || ok) && w.state == stateActive", pkg: watches, tests: cores},
	{name: "watch: progress from the past is believed", file: "internal/watch/progress.go",
		old: "if rev <= 0 || rev < w.known {", new: "if rev <= 0 {", pkg: watches, tests: cores},
	{name: "watch: another history goes unnoticed", file: "internal/watch/history.go",
		old: "parted := f.Different || f.Revision < g.witness.revision", new: "parted := f.Revision < g.witness.revision", pkg: watches, tests: cores},
	{name: "watch: a final refusal is repeated for ever", file: "internal/watch/history.go",
		old: "case v != Fatal || g.st", new: "case v != Fatal || v == Fatal || g.st", pkg: watches, tests: cores},
	{name: "watch: creates go out before the proof", file: "internal/watch/create.go",
		old: "\tif st.unproved {\n\t\treturn\n\t}\n", new: "", pkg: watches, tests: cores},
	{name: "watch: silence of 15 s (D6)", file: "internal/watch/group.go",
		old: "\t\tc.open(g)\n\t} else {\n\t\tp :=", new: "\t\tg.due[dueRetry] = now.Add(15 * time.Second)\n\t} else {\n\t\tp :=", pkg: watches, tests: cores},
	{name: "watch: PrevKV forgotten on resume (D6)", file: "internal/watch/create.go",
		old: "w.want&wantPrevKV != 0,", new: "w.want&wantPrevKV != 0 && w.resume <= 1,", chaos: true},
	{name: "watch: from now delivers nothing (D6)", file: "internal/watch/create.go",
		old: "\tst.creates = append(st.creates, create{id: w.id, w: w})\n",
		new: "\tif w.resume == 0 {\n\t\treq.Key, req.RangeEnd = append(append([]byte(nil), w.key...), 0, 0), nil\n\t}\n\tst.creates = append(st.creates, create{id: w.id, w: w})\n", chaos: true},

	{name: "lock: a key that is being deleted is adopted (D2)", file: "clientv3/concurrency/core.go",
		old: "\tif k.going > 0 {\n\t\treturn 0, false\n\t}\n\tk.inputs++", new: "\tk.inputs++", pkg: locks, tests: cores},
	{name: "lock: another session's key is adopted (D3)", file: "clientv3/concurrency/core.go",
		old: "\tcase !ours:\n", new: "\tcase !ours && rev < 0:\n", pkg: locks, tests: cores},
	{name: "lock: a late request is forgotten", file: "clientv3/concurrency/core.go",
		old: "\tk.calls--\n\tk.doubts++\n", new: "\tk.calls--\n", pkg: locks, tests: cores},
	{name: "lock: after the watch ends all is known (D1)", file: "clientv3/concurrency/core.go",
		old: "func (k *core) watchEnded() {\n\tk.inputs++\n\tk.sure = false\n", new: "func (k *core) watchEnded() {\n\tk.inputs++\n", pkg: locks, tests: cores},
	{name: "lock: a deletion is not told", file: "clientv3/concurrency/core.go",
		old: "k.lose(func(h *hold) bool { return h.rev < at })\n\tk.bury(at)", new: "k.bury(at)", pkg: locks, tests: cores},
	{name: "lock: an owner does not watch its key (D6)", file: "clientv3/concurrency/core.go",
		old: "guarded = guarded || h.guarded\n", new: "guarded = guarded && h.guarded\n", pkg: locks, tests: cores},
	{name: "lock: deleted without comparing (D6)", file: "clientv3/concurrency/slot.go",
		old: `.If(v3.Compare(v3.CreateRevision(key), "=", rev)).`, new: `.If(v3.Compare(v3.CreateRevision(key), "!=", 0)).`, chaos: true},
	{name: "lock: a waiter never sees the deletion (D6)", file: "clientv3/concurrency/line.go",
		old: "case slices.ContainsFunc(r.Events, enough):", new: "case slices.ContainsFunc(r.Events, enough) && len(key) == 0:", chaos: true},
	{name: "lock: an abandoned waiter's key stays (D6)", file: "clientv3/concurrency/claim.go",
		old: "func(k *core) { last = k.leave(c.hold) })\n\tif last {\n\t\tc.s.awaitRemoved", new: "func(k *core) { last = c.rev < 0 && k.leave(c.hold) })\n\tif last {\n\t\tc.s.awaitRemoved", chaos: true},

	{name: "cache: events that are in already count again", file: "cache/core.go",
		old: "if e.GetKv().GetModRevision() <= c.rev {", new: "if e.GetKv().GetModRevision() < c.rev {", pkg: caches, tests: "Core|SameRevision"},
	{name: "cache: a list's missing keys stay", file: "cache/core.go",
		old: "if _, there := found.Get(key); !there {", new: "if _, there := found.Get(key); !there && rev < 0 {", pkg: caches, tests: "Core|SameRevision"},
	{name: "cache: only revisions are compared", file: "cache/core.go",
		old: "a.Lease == b.Lease && bytes.Equal(a.Value, b.Value)", new: "a.Lease == b.Lease && (bytes.Equal(a.Value, b.Value) || a.Version > 0)", pkg: caches, tests: "Core|SameRevision"},

	{name: "wire: groups of 64 KB", file: "internal/wire/group.go",
		old: "groupSize = 12 << 10", new: "groupSize = 64 << 10", pkg: wires, tests: "."},
	{name: "wire: lease and version confused", file: "internal/wire/decode.go",
		old: "\t\t\tcase 4:\n\t\t\t\tkv.Version = int64(v)\n", new: "\t\t\tcase 4:\n\t\t\t\tkv.Lease = int64(v)\n", pkg: wires, tests: "."},

	{name: "members: an ejected one that speaks stays out", file: "internal/balancer/tick.go",
		old: "c.lastByte.Load() > m.silentAt:", new: "c.lastByte.Load() > m.silentAt && c.retired:", pkg: conns, tests: "."},
	{name: "members: a flapping one is dialled at once", file: "internal/balancer/core.go",
		old: "\t\tm.dialAt = now + int64(backoff(m.refusals))\n\t} else if", new: "\t\tm.dialAt = now\n\t} else if", pkg: conns, tests: "."},

	{name: "members: calls that need consensus may hang", file: "internal/balancer/tick.go",
		old: "c.quorum.silence(now, floor) >= limit && quiet < limit:\n\t\tneed(consensusProbe)", new: "c.quorum.silence(now, floor) >= limit && quiet < limit:\n\t\tneed(aliveProbe)", pkg: conns, tests: "."},
	{name: "members: a token that is never answered stays", file: "internal/balancer/shell.go",
		old: "if !answers(ctx, within) && giveUp() {", new: "if !answers(ctx, within) && giveUp == nil {", pkg: "./clientv3", tests: "TokenOfBeforeARestore/3.7"},

	{name: "batch: a caller that leaves leaves its write", file: "batch/queue.go",
		old: "\t\tg.gone = append(g.gone, i)\n", new: "", pkg: batches, tests: "Leaving|Abandoned"},
	{name: "batch: what was sent is repeated for those who left", file: "batch/queue.go",
		old: "g.missed.Store(true)", new: "g.missed.Store(false)", pkg: batches, tests: "Leaving|Abandoned"},
	{name: "batch: a key twice in one transaction", file: "batch/queue.go",
		old: "_, has := g.keys[string(op.KeyBytes())]\n\treturn has", new: "_, has := g.keys[string(op.KeyBytes())]\n\treturn has && len(g.ops) > maxOps", pkg: batches, tests: "Writes|Linearizable"},
	{name: "batch: the answer of another caller", file: "batch/queue.go",
		old: "\t\tif gone < i {\n", new: "\t\tif gone < 0 {\n", pkg: batches, tests: "Leaving|Abandoned"},

	{name: "leasing: memory outlives its lease", file: "clientv3/leasing/tenure.go",
		old: "\treturn time.Since(l.epoch) < d\n", new: "\treturn d > 0\n", pkg: memory, tests: "Frozen|StopsBefore|PausedProcess"},
	{name: "leasing: a write asks nobody for the key", file: "clientv3/leasing/guard.go",
		old: "\t}\n\treturn v3.Compare(c, \"=\", 0)\n", new: "\t}\n\treturn v3.Compare(c, \">\", -1)\n", pkg: memory, tests: "AsksTheOwner"},
	{name: "leasing: revisions from memory go back", file: "clientv3/leasing/tenure.go",
		old: "if header.GetRevision() > t.latest.GetRevision() {", new: "if t.latest == nil {", pkg: memory, tests: "RevisionsFromMemory"},
	{name: "leasing: a key put twice is sound", file: "clientv3/leasing/sound.go",
		old: "if p.among(more.puts) || p.among(more.deletes) {", new: "if p.among(more.deletes) {", pkg: memory, tests: "Sound"},

	{name: "mirror: half a comparison counts as one", file: "clientv3/mirror/run.go",
		old: "was.Complete && was.Revision", new: "was.Revision", pkg: mirrors, tests: "Interrupted"},
	{name: "mirror: what the source has not stays", file: "clientv3/mirror/apply.go",
		old: "\t\t\t\tb.delete(string(t.Key))\n", new: "\t\t\t\t_ = b\n", pkg: mirrors, tests: "SourceReplaced|TargetHoldsData"},
	{name: "mirror: a key twice in one transaction", file: "clientv3/mirror/follow.go",
		old: "twice = twice || b.keys[key]", new: "twice = twice && b.keys[key]", pkg: mirrors, tests: "Faults|Follows"},
	{name: "mirror: another's write counts as one's own", file: "clientv3/mirror/checkpoint.go",
		old: "case other != next:", new: "case other.Cluster != next.Cluster:", pkg: mirrors, tests: "LateWrite"},
	{name: "mirror: a source of another id is a stranger", file: "clientv3/mirror/run.go",
		old: "case own && was.Cluster", new: "case own && !found && was.Cluster", pkg: mirrors, tests: "SourceRestoredRenamed"},

	{name: "namespace: the end of all keys is that of the cluster", file: "clientv3/namespace/namespace.go",
		old: "case len(end) == 1 && end[0] == 0:", new: "case len(end) == 1 && end[0] == 1:", pkg: spaces, tests: "KV|Watch"},
	{name: "namespace: what was returned is changed", file: "clientv3/namespace/strip.go",
		old: "\tout := new(mvccpb.KeyValue)\n\ts.stripInto(out, kv)\n\treturn out\n", new: "\ts.stripInto(kv, kv)\n\treturn kv\n", pkg: spaces, tests: "Wrappers|Watch"},
	{name: "namespace: the caller's comparisons are changed", file: "clientv3/namespace/namespace.go",
		old: "out[i] = cmp.Clone()", new: "out[i] = cmp", pkg: spaces, tests: "Txn|Wrappers"},

	{name: "retry: a write of unknown outcome is repeated", file: "internal/retry/judge.go",
		old: "if k.plan.kind == write && !etcderr.NotExecuted(err) {", new: "if k.plan.kind == write && !etcderr.NotExecuted(err) && n > 3 {", pkg: repeats, tests: "WriteOutcome|Repetition"},
	{name: "retry: hedges without a limit", file: "internal/retry/hedge.go",
		old: "k.c.hedges.take() || waited >= lateHedge", new: "k.c.hedges.take() || waited >= 0 || waited >= lateHedge", pkg: repeats, tests: "HedgeBudget"},
	{name: "retry: a transaction that writes is a read", file: "internal/retry/policy.go",
		old: "\t\t\tdefault:\n\t\t\t\treturn false, false\n", new: "\t\t\tdefault:\n\t\t\t\tlocal = false\n", pkg: repeats, tests: "PlanOfTransactions"},
	{name: "retry: repetitions without a limit", file: "internal/retry/judge.go",
		old: "case !single && !k.c.retries.take():", new: "case !single && n > 100 && !k.c.retries.take():", pkg: repeats, tests: "NoRetryStorm|WithoutBudget"},

	{name: "keep: another process's record is written over", file: "discovery/internal/keep/machine.go",
		old: "if v.Taken != nil {", new: "if v.Taken != nil && r.rev < 0 {", pkg: keeps, tests: cores},
	{name: "keep: a revision of before a restore is waited for", file: "discovery/internal/keep/machine.go",
		old: "\tm.seen = 0 // the request", new: "\t// the request", pkg: keeps, tests: cores},
	{name: "keep: a change during a request is forgotten", file: "discovery/internal/keep/machine.go",
		old: "if m.turn != q.turn || m.seen > as && as > 0 {", new: "if m.seen > as && as > 0 {", pkg: keeps, tests: cores},
	{name: "keep: another's record is removed", file: "discovery/internal/keep/settle.go",
		old: "clientv3.Compare(clientv3.LeaseValue(key), \"=\", id)", new: "clientv3.Compare(clientv3.CreateRevision(key), \">\", id-id)", pkg: service, tests: "KeepForeign"},
	{name: "guard: nothing is held after an outage", file: "discovery/guard.go",
		old: "if now.Before(g.until) && !in.IsDraining() {", new: "if now.Before(g.returned) && !in.IsDraining() {", pkg: service, tests: "Hold"},
	{name: "guard: all may vanish together", file: "discovery/guard.go",
		old: "if g.went <= max(int(g.Share*float64(g.base)), g.Least) {", new: "if g.went <= max(g.base, g.Least) {", pkg: service, tests: "Protection"},

	{name: "follow: pages of several revisions", file: "internal/follow/pages.go",
		old: "\tif p.Rev == 0 {\n", new: "\tif p.Rev < 0 {\n", pkg: follows, tests: "Pages"},
	{name: "follow: a header says how far a watch is", file: "internal/follow/follow.go",
		old: "return r.Events[n-1].Kv.ModRevision", new: "return max(r.Header.Revision, int64(n))", pkg: follows, tests: "Reached"},

	{name: "duplex: a stream that was closed tells of its end", file: "internal/duplex/duplex.go",
		old: "ended := p.ended || p.ctx.Err() != nil", new: "ended := p.ended", pkg: pairs, tests: "."},
	{name: "duplex: the end is told twice", file: "internal/duplex/duplex.go",
		old: "ended := p.ended || p.ctx.Err() != nil", new: "ended := p.ctx.Err() != nil", pkg: pairs, tests: "."},
	{name: "duplex: what was queued goes out again", file: "internal/duplex/duplex.go",
		old: "\tp.queue = spare\n", new: "\tp.queue = q\n", pkg: pairs, tests: "."},
}
