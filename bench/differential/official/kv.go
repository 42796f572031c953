package official

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

var kvCalls = map[string]call{
	"Get": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Get(ctx, s.Key, r.options(s.Opts)...)
		r.out(resp, err)
	},
	"Put": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Put(ctx, s.Key, s.Value, r.options(s.Opts)...)
		r.out(resp, err)
	},
	"Delete": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Delete(ctx, s.Key, r.options(s.Opts)...)
		r.out(resp, err)
	},
	"Compact": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		var opts []clientv3.CompactOption
		for _, o := range s.Opts {
			if o.Name == "WithCompactPhysical" {
				opts = append(opts, clientv3.WithCompactPhysical())
			}
		}
		r.settle()
		resp, err := r.client(s).Compact(ctx, r.base+s.N, opts...)
		r.out(resp, err)
	},
	"GetStream": getStream,
	"Txn":       txn,
	// Do executes the operation in Then.
	"Do": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Do(ctx, r.op(s.Then[0]))
		if err != nil {
			r.out(nil, err)
			return
		}
		r.out(resp.Get(), nil)
		r.out(resp.Put(), nil)
		r.out(resp.Del(), nil)
		r.out(resp.Txn(), nil)
	},
	// Op inspects the operation in Then.
	"Op": func(r *runner, s script.Step) {
		op := r.op(s.Then[0])
		r.rec.Add(
			"txn %v put %v get %v delete %v key %q end %q value %q",
			op.IsTxn(),
			op.IsPut(),
			op.IsGet(),
			op.IsDelete(),
			op.KeyBytes(),
			op.RangeBytes(),
			op.ValueBytes(),
		)
		r.rec.Add(
			"rev %s limit %d min mod %s max mod %s min create %s max create %s",
			r.counted(op.Rev()),
			op.Limit(),
			r.counted(
				op.MinModRev(),
			),
			r.counted(op.MaxModRev()),
			r.counted(op.MinCreateRev()),
			r.counted(op.MaxCreateRev()),
		)
		r.rec.Add(
			"count %v keys %v serializable %v sort %v valid %v prefix %v from key %v",
			op.IsCountOnly(),
			op.IsKeysOnly(),
			op.IsSerializable(),
			op.IsSortSet(),
			op.IsSortOptionValid(),
			op.IsOptsWithPrefix(),
			op.IsOptsWithFromKey(),
		)
		r.rec.Add(
			"previous %v created %v progress %v fragment %v no put %v no delete %v",
			op.IsPrevKV(),
			op.IsCreatedNotify(),
			op.IsProgressNotify(),
			op.IsFragment(),
			op.IsFilterPut(),
			op.IsFilterDelete(),
		)
		opts := r.options(s.Then[0].Opts)
		r.rec.Add(
			"IsOptsWithPrefix %v IsOptsWithFromKey %v",
			clientv3.IsOptsWithPrefix(opts),
			clientv3.IsOptsWithFromKey(opts),
		)
	},
}

// counted formats a revision that the program has given: counted from the program's beginning if
// it is near that, else as it is.
func (r *runner) counted(rev int64) string {
	if near := rev - r.base; rev > 1 && near > -100 && near < 100 {
		return fmt.Sprintf("r%+d", near)
	}
	return fmt.Sprint(rev)
}

// getStream reads a stream to its end, without comparing where it is cut into chunks. With a Value
// the client's own helper joins the chunks.
func getStream(r *runner, s script.Step) {
	ctx, cancel := r.context(s.Ctx)
	defer cancel()
	stream, err := r.client(s).GetStream(ctx, s.Key, r.options(s.Opts)...)
	if r.unsupported(err) {
		r.getInstead(ctx, s)
		return
	}
	if err != nil {
		r.out(nil, err)
		return
	}
	if s.Value != "" {
		resp, err := clientv3.GetStreamToGetResponse(stream)
		if r.unsupported(err) {
			r.getInstead(ctx, s)
			return
		}
		r.out(resp, err)
		return
	}
	var kvs []*mvccpb.KeyValue
	for chunk := range stream {
		if err := chunk.Err(); err != nil {
			if r.unsupported(err) {
				r.getInstead(ctx, s)
				return
			}
			r.rec.Add("stream: %s, response %v", r.err(err), chunk.RangeResponse != nil)
			continue
		}
		kvs = append(kvs, chunk.Kvs...)
		if chunk.Header != nil {
			r.rec.Add("header %s more %v count %d", r.rec.Value(chunk.Header), chunk.More, chunk.Count)
		}
	}
	r.rec.Add("%s", r.rec.Value(kvs))
}

// getInstead records what a stream must return where the official client cannot have one: the same
// as Get.
func (r *runner) getInstead(ctx context.Context, s script.Step) {
	r.rec.Add("no streams here")
	resp, err := r.client(s).Get(ctx, s.Key, r.options(s.Opts)...)
	if err != nil || s.Value != "" {
		r.out(resp, err)
		return
	}
	r.rec.Add("header %s more %v count %d", r.rec.Value(resp.Header), resp.More, resp.Count)
	r.rec.Add("%s", r.rec.Value(resp.Kvs))
}

// txn commits a transaction. The letters of Value are the initials of its methods to call.
func txn(r *runner, s script.Step) {
	ctx, cancel := r.context(s.Ctx)
	defer cancel()
	t := r.client(s).Txn(ctx)
	order := s.Value
	if order == "" {
		order = "ITE"
	}
	for _, c := range order {
		switch c {
		case 'I':
			t = t.If(r.compares(s.If)...)
		case 'T':
			t = t.Then(r.ops(s.Then)...)
		case 'E':
			t = t.Else(r.ops(s.Else)...)
		}
	}
	resp, err := t.Commit()
	r.out(resp, err)
}

func (r *runner) op(s script.Step) clientv3.Op {
	switch s.Call {
	case "Get":
		return clientv3.OpGet(s.Key, r.options(s.Opts)...)
	case "Put":
		return clientv3.OpPut(s.Key, s.Value, r.options(s.Opts)...)
	case "Delete":
		return clientv3.OpDelete(s.Key, r.options(s.Opts)...)
	case "Txn":
		return clientv3.OpTxn(r.compares(s.If), r.ops(s.Then), r.ops(s.Else))
	case "Watch":
		return clientv3.OpWatch(s.Key, r.options(s.Opts)...)
	}
	return clientv3.Op{}
}

func (r *runner) ops(steps []script.Step) []clientv3.Op {
	var ops []clientv3.Op
	for _, s := range steps {
		ops = append(ops, r.op(s))
	}
	return ops
}

func (r *runner) compares(list []script.Compare) []clientv3.Cmp {
	var cmps []clientv3.Cmp
	for _, c := range list {
		cmps = append(cmps, r.compare(c))
	}
	return cmps
}

var targets = map[string]func(string) clientv3.Cmp{
	"Value": clientv3.Value, "Version": clientv3.Version, "CreateRevision": clientv3.CreateRevision,
	"ModRevision": clientv3.ModRevision, "LeaseValue": clientv3.LeaseValue,
}

func (r *runner) compare(c script.Compare) clientv3.Cmp {
	var target clientv3.Cmp
	if !c.NoTarget {
		target = targets[c.Target](c.Key)
	}
	n := c.N
	if !c.Absolute && (c.Target == "CreateRevision" || c.Target == "ModRevision") {
		n += r.base
	}
	var v any
	switch c.V {
	case "string":
		v = c.Value
	case "int64":
		v = n
	case "int":
		v = int(n)
	case "lease":
		v = r.leases[c.Value]
	default:
		v = 1.5
	}
	cmp := clientv3.Compare(target, c.Result, v)
	if c.End != "" {
		cmp = cmp.WithRange(c.End)
	}
	if c.Prefix {
		cmp = cmp.WithPrefix()
	}
	return cmp
}

func (r *runner) options(list []script.Option) []clientv3.OpOption {
	var opts []clientv3.OpOption
	for _, o := range list {
		opts = append(opts, r.option(o)...)
	}
	return opts
}

func (r *runner) option(o script.Option) []clientv3.OpOption {
	if plain, ok := plainOptions[o.Name]; ok {
		return []clientv3.OpOption{plain()}
	}
	if several, ok := severalOptions[o.Name]; ok {
		return several()
	}
	if with, ok := revisionOptions[o.Name]; ok {
		if o.Absolute {
			return []clientv3.OpOption{with(o.N)}
		}
		return []clientv3.OpOption{with(r.base + o.N)}
	}
	switch o.Name {
	case "WithLease":
		return []clientv3.OpOption{clientv3.WithLease(r.lease(o.S))}
	case "WithLimit":
		return []clientv3.OpOption{clientv3.WithLimit(o.N)}
	case "WithRange":
		return []clientv3.OpOption{clientv3.WithRange(o.S)}
	case "WithSort":
		return []clientv3.OpOption{clientv3.WithSort(clientv3.SortTarget(o.N), clientv3.SortOrder(o.M))}
	}
	panic(fmt.Sprintf("no option is named %s", o.Name))
}

var plainOptions = map[string]func() clientv3.OpOption{
	"WithPrefix":  clientv3.WithPrefix,
	"WithFromKey": clientv3.WithFromKey, "WithSerializable": clientv3.WithSerializable,
	"WithKeysOnly": clientv3.WithKeysOnly, "WithCountOnly": clientv3.WithCountOnly, "WithPrevKV": clientv3.WithPrevKV,
	"WithIgnoreValue": clientv3.WithIgnoreValue, "WithIgnoreLease": clientv3.WithIgnoreLease,
	"WithProgressNotify": clientv3.WithProgressNotify, "WithCreatedNotify": clientv3.WithCreatedNotify,
	"WithFilterPut": clientv3.WithFilterPut, "WithFilterDelete": clientv3.WithFilterDelete,
	"WithFragment": clientv3.WithFragment, "WithWatchBufLog": clientv3.WithWatchBufLog,
}

var severalOptions = map[string]func() []clientv3.OpOption{
	"WithFirstCreate": clientv3.WithFirstCreate, "WithLastCreate": clientv3.WithLastCreate,
	"WithFirstKey": clientv3.WithFirstKey, "WithLastKey": clientv3.WithLastKey,
	"WithFirstRev": clientv3.WithFirstRev, "WithLastRev": clientv3.WithLastRev,
}

var revisionOptions = map[string]func(int64) clientv3.OpOption{
	"WithRev": clientv3.WithRev, "WithMinModRev": clientv3.WithMinModRev, "WithMaxModRev": clientv3.WithMaxModRev,
	"WithMinCreateRev": clientv3.WithMinCreateRev, "WithMaxCreateRev": clientv3.WithMaxCreateRev,
}

// fill puts N keys of Value under Key, directly on the server: history for watches and ranges.
func fill(r *runner, s script.Step) {
	ctx, cancel := context.WithTimeout(r.ctx, ample)
	defer cancel()
	for i := range s.N {
		if err := r.srv.Put(ctx, fmt.Sprintf("%s%s%03d", r.prefix, s.Key, i), s.Value); err != nil {
			panic(err)
		}
	}
}
