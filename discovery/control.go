package discovery

// What operators say about instances, beside what those say of themselves: one record per service,
// outside the prefix of its instances, so that it works with records of every format. Directories
// follow it, and show instances as it has them. Nothing that an instance does changes it: it holds over a
// restart, and whatever its owner declares.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// controlBase is where the records are: BASE/SERVICE.
const controlBase = "/fairlead/control/"

// instancesField is the part of a record that is about instances; others are kept as they are.
const instancesField = "instances"

// Override is what holds for an instance in place of what its record says. The zero Override changes nothing.
type Override struct {
	// Maintenance: the instance is shown as draining.
	Maintenance bool `json:"maintenance,omitempty"`
	// Weight, if not 0, is shown as its weight.
	Weight int `json:"weight,omitempty"`
}

// apply is how an instance is shown.
func (o Override) apply(in *Instance) *Instance {
	c := *in // shares what is not changed
	if o.Maintenance {
		c.State = Draining
	}
	if o.Weight > 0 {
		c.Weight = o.Weight
	}
	return &c
}

// controlKey is where the record of a service is.
func controlKey(service string) string { return controlBase + url.PathEscape(service) }

// parseControl reads a record; nil is none.
func parseControl(value []byte) (rest map[string]json.RawMessage, all map[string]Override, err error) {
	rest, all = make(map[string]json.RawMessage), make(map[string]Override)
	if value == nil {
		return rest, all, nil
	}
	if err := json.Unmarshal(value, &rest); err != nil {
		return nil, nil, err
	}
	if part := rest[instancesField]; part != nil {
		if err := json.Unmarshal(part, &all); err != nil {
			return nil, nil, err
		}
	}
	for id, o := range all {
		if o.Weight < 0 || o.Weight > MaxWeight {
			return nil, nil, invalid("the weight for %s is %d, not within 0 and %d", id, o.Weight, MaxWeight)
		}
	}
	return rest, all, nil
}

// Overrides are those of the instances of a service, by id.
func Overrides(ctx context.Context, client *clientv3.Client, service string) (map[string]Override, error) {
	if err := validName("service", service); err != nil {
		return nil, err
	}
	r, err := client.Get(ctx, controlKey(service))
	if err != nil {
		return nil, err
	}
	_, all, err := parseControl(valueOf(r))
	return all, err
}

// SetOverride changes what holds for an instance, which need not be there. It stays until it is
// changed again. change may be called several times, if others change the service's record too.
func SetOverride(ctx context.Context, client *clientv3.Client, service, id string, change func(*Override)) error {
	if err := validName("service", service); err != nil {
		return err
	}
	if err := validName("id", id); err != nil {
		return err
	}
	key := controlKey(service)
	for {
		r, err := client.Get(ctx, key)
		if err != nil {
			return err
		}
		rest, all, err := parseControl(valueOf(r))
		if err != nil {
			return fmt.Errorf("the record %s: %w", key, err)
		}
		o := all[id]
		if change(&o); o.Weight < 0 || o.Weight > MaxWeight {
			return invalid("the weight for %s/%s is %d, not within 0 and %d", service, id, o.Weight, MaxWeight)
		}
		if all[id] = o; o == (Override{}) {
			delete(all, id)
		}
		op, err := controlOp(key, rest, all)
		if err != nil {
			return err
		}
		rev := int64(0)
		if len(r.Kvs) > 0 {
			rev = r.Kvs[0].ModRevision
		}
		t, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).Then(op).Commit()
		if err != nil || t.Succeeded {
			return err
		}
	}
}

// controlOp writes a record, or deletes one that says nothing.
func controlOp(key string, rest map[string]json.RawMessage, all map[string]Override) (op clientv3.Op, err error) {
	delete(rest, instancesField)
	if len(all) > 0 {
		if rest[instancesField], err = json.Marshal(all); err != nil {
			return op, err
		}
	}
	if len(rest) == 0 {
		return clientv3.OpDelete(key), nil
	}
	value, err := json.Marshal(rest)
	if err == nil && len(value) > maxControl {
		err = invalid("%s would have %d bytes, more than %d", key, len(value), maxControl)
	}
	return clientv3.OpPut(key, string(value)), err
}

// maxControl bounds a record, in bytes: some thousand instances.
const maxControl = 512 << 10

func valueOf(r *clientv3.GetResponse) []byte {
	if len(r.Kvs) == 0 {
		return nil
	}
	return r.Kvs[0].Value
}

// controlTry bounds reading a record while the instances are followed.
const controlTry = time.Second

// readControl reads the record as of a revision, 0 for now, and says as of which it is right. A user who may
// not has none.
func (f *feed) readControl(limit time.Duration, rev int64) (all map[string]Override, as int64, err error) {
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	r, err := f.d.client.Get(ctx, controlKey(f.service), clientv3.WithRev(rev))
	if clientv3.Code(err) == codes.PermissionDenied {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if rev == 0 {
		rev = r.Header.Revision
	}
	return f.parsed(valueOf(r)), rev, nil
}

// followControl watches the record from where it was read, if it may be read.
func (f *feed) followControl() (*follow.Opening, <-chan clientv3.WatchChan) {
	if f.controlRev == 0 {
		return nil, nil
	}
	w := follow.Open(f.ctx, f.d.client, controlKey(f.service), clientv3.WithRev(f.controlRev+1))
	return w, w.Opened
}

// lookControl reads the record again when its watch has ended: compacted, say, as it hardly ever
// changes. That is no reason to list the instances again.
func (f *feed) lookControl() error {
	all, rev, err := f.readControl(controlTry, 0)
	if err == nil {
		f.controlRev = rev
		f.override(all)
	}
	return err
}

// parsed are the overrides of a record, none if that makes no sense.
func (f *feed) parsed(value []byte) map[string]Override {
	_, all, err := parseControl(value)
	if err != nil {
		f.d.problem(Problem{f.service, controlKey(f.service), err})
	}
	return all
}

// control takes changes of the record, which is one key.
func (f *feed) control(r *clientv3.WatchResponse) {
	f.controlRev = r.Header.Revision
	if len(r.Events) == 0 {
		return
	}
	if last := r.Events[len(r.Events)-1]; last.Type == clientv3.EventTypeDelete {
		f.override(nil)
	} else {
		f.override(f.parsed(last.Kv.Value))
	}
}

// override shows all instances by other overrides. The view stays as of its revision: the record may
// be ahead of the instances.
func (f *feed) override(all map[string]Override) {
	was := f.overrides
	f.overrides = all
	c := f.begin()
	for _, key := range f.tree.Keys() {
		shown, _ := f.tree.Get(key)
		if was[shown.ID] == all[shown.ID] {
			continue
		}
		in := f.plain[key]
		if in == nil {
			in = shown
		}
		c.replace(key, in)
	}
	f.mu.Lock()
	stale := f.stale
	f.mu.Unlock()
	c.publish(f.view.Load().revision, stale)
}

// shown is how an instance is shown.
func (f *feed) shown(key string, in *Instance) *Instance {
	o, ok := f.overrides[in.ID]
	if !ok {
		delete(f.plain, key)
		return in
	}
	f.plain[key] = in
	return o.apply(in)
}
