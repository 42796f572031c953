package discovery

// Operators say something about a service and its instances in one record per service. It is
// outside the prefix of the instances, so that it works with records of every format. Directories
// follow it (control_feed.go), and show instances as it has them. Nothing that an instance does
// changes it: it holds over a restart, whatever the owner of the instance declares.
//
// Nothing here has a clock or a network, but ReadControl and ChangeControl.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// controlBase is where the records are: BASE/SERVICE.
const controlBase = "/fairlead/control/"

// The parts of a record that are known here; others are kept as they are.
const (
	instancesField = "instances"
	splitField     = "split"
	limitsField    = "limits"
)

// maxControl bounds a record, in bytes: some thousand instances.
const maxControl = 512 << 10

// Override is what holds for an instance in place of what its record says. The zero Override
// changes nothing.
type Override struct {
	// Maintenance: the instance is shown as draining, see Drain.
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

// Control is what operators say about a service. The zero Control says nothing.
type Control struct {
	// Instances are overrides by the id of an instance, which need not be there.
	Instances map[string]Override
	// Split is how calls are split between the instances.
	Split Split
	// Limits are what clients are asked to keep to.
	Limits Limits

	was   map[string]Override        // Instances as they were read
	plain map[string]json.RawMessage // each of them as it stands in the record
	rest  map[string]json.RawMessage // parts of the record that are not known here

	wasLimits   Limits          // Limits as they were read
	plainLimits json.RawMessage // as they stand in the record
}

// Override changes what holds for an instance; a nil change takes all of it away.
func (c *Control) Override(id string, change func(*Override)) {
	var o Override
	if change != nil {
		o = c.Instances[id]
		change(&o)
	}
	if o == (Override{}) {
		delete(c.Instances, id)
		return
	}
	if c.Instances == nil {
		c.Instances = make(map[string]Override)
	}
	c.Instances[id] = o
}

// Validate says what is wrong with it; nil for nothing. The error wraps [ErrInvalid].
func (c *Control) Validate() error {
	for id, o := range c.Instances {
		if err := validName("id", id); err != nil {
			return err
		}
		if o.Weight < 0 || o.Weight > MaxWeight {
			return invalid("the weight for %s is %d, not within 0 and %d", id, o.Weight, MaxWeight)
		}
	}
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	return c.Split.Validate()
}

// controlKey is where the record of a service is.
func controlKey(service string) string { return controlBase + url.PathEscape(service) }

// parseControl reads a record; nil is none.
func parseControl(value []byte) (*Control, error) {
	c := &Control{Instances: make(map[string]Override), rest: make(map[string]json.RawMessage)}
	if value == nil {
		return c, nil
	}
	if len(value) > 4*maxControl {
		return nil, invalid("it has %d bytes", len(value))
	}
	if err := json.Unmarshal(value, &c.rest); err != nil || c.rest == nil {
		return nil, invalid("it is no object in JSON")
	}
	c.plainLimits = c.rest[limitsField]
	for part, to := range map[string]any{instancesField: &c.plain, splitField: &c.Split, limitsField: &c.Limits} {
		if text, ok := c.rest[part]; ok {
			if err := json.Unmarshal(text, to); err != nil {
				return nil, invalid("%s: %v", part, err)
			}
			delete(c.rest, part)
		}
	}
	for id, text := range c.plain {
		var o Override
		if err := json.Unmarshal(text, &o); err != nil {
			return nil, invalid("%s %s: %v", instancesField, id, err)
		}
		c.Instances[id] = o
	}
	c.was, c.wasLimits = maps.Clone(c.Instances), c.Limits
	return c, c.Validate()
}

// marshal is the record, nil if it says nothing. What was read and not changed stays as it was, so
// that what is new in later versions is not lost.
func (c *Control) marshal() ([]byte, error) {
	rec := maps.Clone(c.rest)
	if rec == nil {
		rec = make(map[string]json.RawMessage)
	}
	instances := make(map[string]any, len(c.Instances))
	for id, o := range c.Instances {
		instances[id] = o
		if before, ok := c.was[id]; ok && before == o {
			instances[id] = c.plain[id]
		}
	}
	var err error
	if len(instances) > 0 {
		if rec[instancesField], err = json.Marshal(instances); err != nil {
			return nil, err
		}
	}
	if len(c.Split) > 0 {
		if rec[splitField], err = json.Marshal(c.Split); err != nil {
			return nil, err
		}
	}
	switch {
	case c.Limits == (Limits{}):
	case c.Limits == c.wasLimits && c.plainLimits != nil:
		rec[limitsField] = c.plainLimits
	default:
		if rec[limitsField], err = json.Marshal(c.Limits); err != nil {
			return nil, err
		}
	}
	if len(rec) == 0 {
		return nil, nil
	}
	value, err := json.Marshal(rec)
	if err == nil && len(value) > maxControl {
		err = invalid("the record would have %d bytes, more than %d", len(value), maxControl)
	}
	return value, err
}

// ReadControl is what operators say about a service. If the record makes no sense, the error wraps
// [ErrInvalid]; those who follow the service go on with the last good one then.
func ReadControl(ctx context.Context, client *clientv3.Client, service string) (Control, error) {
	if client == nil {
		return Control{}, invalid("the client is nil")
	}
	if err := validName("service", service); err != nil {
		return Control{}, err
	}
	c, _, err := readControl(ctx, client, controlKey(service), 0)
	if err != nil {
		return Control{}, err
	}
	return *c, nil
}

// ReadControls is what operators say about all services, by their names, in one request. Records
// that make no sense are left out.
func ReadControls(ctx context.Context, client *clientv3.Client) (map[string]Control, error) {
	if client == nil {
		return nil, invalid("the client is nil")
	}
	all := make(map[string]Control)
	for pages := follow.PrefixPages(client, controlBase); pages.More(); {
		r, err := pages.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, kv := range r.Kvs {
			service, err := url.PathUnescape(string(kv.Key)[len(controlBase):])
			if c, perr := parseControl(kv.Value); err == nil && perr == nil {
				all[service] = *c
			}
		}
	}
	return all, nil
}

// Shown is how an instance is shown to those who follow the service.
func (c *Control) Shown(in *Instance) *Instance {
	if o, ok := c.Instances[in.ID]; ok {
		return o.apply(in)
	}
	return in
}

// ChangeControl changes what operators say about a service, which need not be there. It holds until
// it is changed again. Nothing is lost if several do so at once: change is called again then, with
// what another one has written. If it fails, or what it makes is not valid, nothing is changed. A
// record that makes no sense is not written over.
func ChangeControl(ctx context.Context, client *clientv3.Client, service string, change func(*Control) error) error {
	switch {
	case client == nil:
		return invalid("the client is nil")
	case change == nil:
		return invalid("the change is nil")
	}
	if err := validName("service", service); err != nil {
		return err
	}
	key := controlKey(service)
	for {
		c, kv, err := readControl(ctx, client, key, 0)
		if err != nil {
			return err
		}
		if err := change(c); err != nil {
			return err
		}
		if err := c.Validate(); err != nil {
			return err
		}
		value, err := c.marshal()
		if err != nil {
			return err
		}
		if bytes.Equal(value, kv.Value) {
			return nil // it says so already
		}
		op := clientv3.OpPut(key, string(value))
		if value == nil {
			op = clientv3.OpDelete(key)
		}
		t, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).Then(op).Commit()
		if err != nil || t.Succeeded {
			return err
		}
	}
}

// recordOf is what there is of a key, and as of which revision.
type recordOf struct {
	Value       []byte // nil: none
	ModRevision int64
	As          int64
	Listed      *clientv3.Listing
}

// readControl reads the record as of a revision, 0 for now.
func readControl(ctx context.Context, client *clientv3.Client, key string, rev int64) (*Control, recordOf, error) {
	listed := clientv3.NewListing(rev)
	r, err := client.Get(ctx, key, clientv3.WithRev(rev))
	if err != nil {
		return nil, recordOf{}, err
	}
	listed.Add(r)
	kv := recordOf{As: listed.Revision(), Listed: listed}
	if len(r.Kvs) > 0 {
		kv.Value, kv.ModRevision = append([]byte{}, r.Kvs[0].Value...), r.Kvs[0].ModRevision
	}
	c, err := parseControl(kv.Value)
	if err != nil {
		return nil, kv, fmt.Errorf("the record %s, to be corrected or deleted: %w", key, err)
	}
	return c, kv, nil
}
