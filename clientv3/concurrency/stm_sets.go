package concurrency

import (
	"context"
	"runtime"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// stm is one transaction over all its attempts.
type stm struct {
	c         *v3.Client
	ctx       context.Context
	isolation Isolation

	// reads and writes of the present attempt
	rev    int64                       // of the snapshot that is read, 0 before the first read
	reads  map[string]*mvccpb.KeyValue // nil values: there is no such key
	order  []string                    // keys of reads
	writes map[string]write
	wrote  []string // keys of writes, in order

	// fresh has what a conflict showed: the keys read before, as of freshRev. The next attempt
	// takes its reads from it.
	fresh    map[string]*mvccpb.KeyValue
	freshRev int64

	failure error // what ended the attempt, or its commit
}

type write struct {
	value string
	op    v3.Op
}

func newSTM(c *v3.Client, o *stmOptions) *stm {
	return &stm{c: c, ctx: o.ctx, isolation: o.isolation}
}

// snapshot: all reads are of one revision.
func (s *stm) snapshot() bool {
	return s.isolation == SerializableSnapshot || s.isolation == Serializable
}

func (s *stm) reset() {
	s.rev, s.order, s.wrote, s.failure = 0, nil, nil, nil
	s.reads, s.writes = make(map[string]*mvccpb.KeyValue), make(map[string]write)
	if len(s.fresh) > 0 {
		s.rev = s.freshRev
	}
}

func (s *stm) Get(keys ...string) string {
	for _, k := range keys {
		if w, ok := s.writes[k]; ok {
			return w.value
		}
	}
	if len(keys) == 0 {
		return ""
	}
	s.read(keys)
	return string(s.reads[keys[0]].GetValue())
}

func (s *stm) Rev(key string) int64 {
	s.read([]string{key})
	return s.reads[key].GetModRevision()
}

func (s *stm) Put(key, val string, opts ...v3.OpOption) {
	s.write(key, write{value: val, op: v3.OpPut(key, val, opts...)})
}

func (s *stm) Del(key string) { s.write(key, write{op: v3.OpDelete(key)}) }

func (s *stm) write(key string, w write) {
	if _, ok := s.writes[key]; !ok {
		s.wrote = append(s.wrote, key)
	}
	s.writes[key] = w
}

// read reads those keys that the attempt has not read yet.
func (s *stm) read(keys []string) {
	var missing []string
	var ops []v3.Op
	var opts []v3.OpOption
	if s.rev > 0 && s.snapshot() {
		opts = append(opts, v3.WithRev(s.rev))
	}
	for _, k := range keys {
		if _, ok := s.reads[k]; ok {
			continue
		}
		if kv, ok := s.fresh[k]; ok {
			s.note(k, kv)
			continue
		}
		missing = append(missing, k)
		ops = append(ops, v3.OpGet(k, opts...))
	}
	if len(ops) == 0 {
		return
	}
	r, err := s.c.Txn(s.ctx).Then(ops...).Commit()
	if err != nil {
		s.failure = err
		runtime.Goexit()
	}
	if s.rev == 0 {
		s.rev = r.Header.Revision
	}
	for i, k := range missing {
		s.note(k, only(r.Responses[i]))
	}
}

// note takes what was read of a key; nil: there is none.
func (s *stm) note(key string, kv *mvccpb.KeyValue) {
	if _, ok := s.reads[key]; !ok {
		s.order = append(s.order, key)
	}
	s.reads[key] = kv
}

// only returns the key that a read found, nil if none.
func only(r *pb.ResponseOp) *mvccpb.KeyValue {
	if kvs := r.GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// commit writes if nothing relevant has changed. After a conflict it returns nil and has read the
// same keys again; an error is in failure.
func (s *stm) commit() *v3.TxnResponse {
	var cmps []v3.Cmp
	var puts, gets []v3.Op
	if s.isolation != ReadCommitted {
		for _, k := range s.order {
			cmps = append(cmps, v3.Compare(v3.ModRevision(k), "=", s.reads[k].GetModRevision()))
			gets = append(gets, v3.OpGet(k))
		}
	}
	for _, k := range s.wrote {
		if _, read := s.reads[k]; s.isolation == SerializableSnapshot && s.rev > 0 && !read {
			cmps = append(cmps, v3.Compare(v3.ModRevision(k), "<", s.rev+1))
		}
		puts = append(puts, s.writes[k].op)
	}
	r, err := s.c.Txn(s.ctx).If(cmps...).Then(puts...).Else(gets...).Commit()
	if err != nil {
		s.failure = err
		return nil
	}
	if r.Succeeded {
		return r
	}
	if s.snapshot() { // otherwise the function has to read again by itself
		s.fresh, s.freshRev = make(map[string]*mvccpb.KeyValue), r.Header.Revision
		for i, k := range s.order {
			s.fresh[k] = only(r.Responses[i])
		}
	}
	return nil
}
