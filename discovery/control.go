package discovery

// Operators write one record per service about the service and its instances. It is outside the
// prefix of the instances, so it works with records of every format. Directories follow it
// (control_feed.go) and show instances accordingly. An instance cannot change it: it holds over a
// restart, whatever the owner of the instance declares.
//
// Nothing here has a clock or a network, except ReadControl, ReadControls and ChangeControl.

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

// The known parts of a record; other parts are kept as they are.
const (
	instancesField = "instances"
	splitField     = "split"
	limitsField    = "limits"
)

// maxControl bounds a record, in bytes: some thousand instances.
const maxControl = 512 << 10

// Override replaces part of an instance's own record; see [ChangeControl]. The zero Override
// changes nothing.
type Override struct {
	// Maintenance shows the instance as draining, see [Drain].
	Maintenance bool `json:"maintenance,omitempty"`
	// Weight, if not 0, replaces the instance's weight.
	Weight int `json:"weight,omitempty"`
}

// apply returns the instance as it is shown.
func (o Override) apply(in *Instance) *Instance {
	c := *in // shares unchanged parts
	if o.Maintenance {
		c.State = Draining
	}
	if o.Weight > 0 {
		c.Weight = o.Weight
	}
	return &c
}

// Control is an operator's record about a service; see [ReadControl] and [ChangeControl]. The zero
// Control says nothing.
type Control struct {
	// Instances has overrides by the id of an instance, which need not exist.
	Instances map[string]Override
	// Split is how clients divide calls between the instances.
	Split Split
	// Limits is what clients should keep to.
	Limits Limits

	was   map[string]Override        // Instances as they were read
	plain map[string]json.RawMessage // each of them as it stands in the record
	rest  map[string]json.RawMessage // unknown parts of the record

	wasLimits   Limits          // Limits as they were read
	plainLimits json.RawMessage // as they stand in the record
}

// Override changes the override of an instance: change gets a copy and may alter it. A nil change
// removes the override.
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

// Validate returns what is wrong with the record, nil if nothing is. The error wraps [ErrInvalid].
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

// controlKey is the key of a service's record.
func controlKey(service string) string { return controlBase + url.PathEscape(service) }

// parseControl reads a record; a nil value is no record.
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

// marshal encodes the record, nil if it says nothing. Unchanged parts stay as they were read, so
// that parts which only later versions know are not lost.
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

// ReadControl returns the operators' record about a service, the zero [Control] if there is none.
// If the record is invalid, the error wraps [ErrInvalid]; directories then go on with the last
// valid one.
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

// ReadControls returns the operators' records of all services, by service name, in one request. It
// leaves out invalid records.
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

// Shown returns an instance as followers of the service see it.
func (c *Control) Shown(in *Instance) *Instance {
	if o, ok := c.Instances[in.ID]; ok {
		return o.apply(in)
	}
	return in
}

// ChangeControl changes the operators' record about a service, which need not exist. The change
// holds until the next one. Concurrent changes are not lost: change is then called again, with the
// other's result. If change fails or its result is invalid, nothing is written. ChangeControl does
// not overwrite an invalid record; its error wraps [ErrInvalid].
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
			return nil // the record says so already
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

// recordOf is the value of a key and the revision at which it was read.
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
