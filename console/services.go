package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

// servicesMost is how many records are read and shown at a time.
const servicesMost = 5000

// service is a service and its instances.
type service struct {
	Name      string     `json:"name"`
	Instances []instance `json:"instances"`
	Split     string     `json:"split,omitempty"` // the split of its calls, in the form of ParseSplit
	Parts     []part     `json:"parts,omitempty"`
	Absent    []absent   `json:"absent,omitempty"`
}

// instance is an instance, with its lease and its overrides.
type instance struct {
	*discovery.Instance
	Draining bool `json:"draining"`
	// Override is the operators' values, which are shown; nil if there are none.
	Override *discovery.Override `json:"override,omitempty"`
	Own      *own                `json:"own,omitempty"` // with Override
	// Share is the percentage of the service's calls that the instance gets by the split and the
	// weights; Parts are the parts of the split that it is in.
	Share float64            `json:"share"`
	Parts []discovery.Filter `json:"parts,omitempty"`
	Key   []byte             `json:"key"`
	Mod   int64              `json:"mod"`
	Lease string             `json:"lease,omitempty"`
	// TTL is how many seconds of Granted the lease has left; -1 if it has ended.
	TTL     int64 `json:"ttl"`
	Granted int64 `json:"granted"`

	lease clientv3.LeaseID
}

// badRecord is a key whose record is not a valid instance.
type badRecord struct {
	Key   []byte `json:"key"`
	Error string `json:"error"`
}

// serviceList is the services under a base.
type serviceList struct {
	Base     string      `json:"base"`
	Revision int64       `json:"revision"`
	Services []service   `json:"services"`
	Problems []badRecord `json:"problems,omitempty"`
	More     bool        `json:"more"` // there are more records than were read
	// Unknown: this user may not read the operators' overrides.
	Unknown bool `json:"unknown,omitempty"`
}

// records returns a format by its name, our own for an empty one, and the prefix of its keys.
func records(name, base string) (discovery.Format, string, error) {
	if name == "" {
		name = "json"
	}
	f, prefix, err := discovery.NamedFormat(name, base)
	if err != nil {
		return nil, "", badRequest("there is no format of records " + printable(name))
	}
	return f, prefix, nil
}

func getServices(r *request) (any, error) {
	q := r.URL.Query()
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	list, err := recordsOf(ctx, r.client, q.Get("records"), q.Get("base"))
	if err != nil {
		return nil, err
	}
	if err := list.override(ctx, r.client); err != nil {
		return nil, err
	}
	list.times(ctx, r.client)
	slices.SortFunc(list.Services, func(a, b service) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// recordsOf reads the services from the instances' records, without overrides.
func recordsOf(ctx context.Context, kv clientv3.KV, name, base string) (*serviceList, error) {
	format, base, err := records(name, base)
	if err != nil {
		return nil, err
	}
	if base == "" {
		return nil, badRequest("this format has no default base: give the beginning of the keys")
	}
	got, err := kv.Get(ctx, base, clientv3.WithPrefix(), clientv3.WithLimit(servicesMost))
	if err != nil {
		return nil, err
	}
	list := &serviceList{Base: base, Revision: got.Header.Revision, Services: []service{}, More: got.More}
	for _, kv := range got.Kvs {
		key := string(kv.Key)
		name, ok := serviceName(format, key[len(base):])
		if !ok {
			continue
		}
		in, err := format.Unmarshal(name, key, kv.Value)
		switch {
		case errors.Is(err, discovery.ErrNotInstance):
			continue
		case err != nil:
			list.Problems = append(list.Problems, badRecord{Key: kv.Key, Error: err.Error()})
			continue
		}
		if n := len(list.Services); n == 0 || list.Services[n-1].Name != name {
			list.Services = append(list.Services, service{Name: name})
		}
		s := &list.Services[len(list.Services)-1]
		s.Instances = append(
			s.Instances,
			instance{Instance: in, Draining: in.IsDraining(), Key: kv.Key, Mod: kv.ModRevision,
				Lease: leaseName(kv.Lease), lease: clientv3.LeaseID(kv.Lease)},
		)
	}
	return list, nil
}

// serviceName returns the service of a key, as its format writes it.
func serviceName(format discovery.Format, rest string) (string, bool) {
	i := strings.LastIndex(rest, "/")
	if i <= 0 {
		return "", false
	}
	name := rest[:i]
	if _, escaped := format.(discovery.JSON); !escaped {
		return name, true
	}
	name, err := url.PathUnescape(name)
	return name, err == nil
}

// times reads the TTLs of the instances' leases. The instances of one process share a lease.
func (list *serviceList) times(ctx context.Context, l clientv3.Lease) {
	var ids []clientv3.LeaseID
	for _, s := range list.Services {
		for _, in := range s.Instances {
			ids = append(ids, in.lease)
		}
	}
	known := leaseTimes(ctx, l, ids)
	for _, s := range list.Services {
		for i := range s.Instances {
			if t := known[s.Instances[i].lease]; t != nil {
				s.Instances[i].TTL, s.Instances[i].Granted = t.TTL, t.GrantedTTL
			}
		}
	}
}

// amendment names an instance to change.
type amendment struct{ Records, Base, Service, ID string }

// postRemove deletes an instance's record.
func postRemove(r *request) (any, error) {
	var in amendment
	if err := decode(r.Request, &in); err != nil {
		return nil, err
	}
	format, _, err := records(in.Records, in.Base)
	if err != nil {
		return nil, err
	}
	if err := r.begin("remove", "instance "+auditOf([]byte(in.Service+"/"+in.ID))); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	r.change.Before = record(ctx, r.client, format, in)
	err = discovery.Remove(ctx, r.client, format, in.Service, in.ID)
	if errors.Is(err, discovery.ErrNotFound) {
		return nil, &apiError{
			Status:  http.StatusNotFound,
			Code:    "NotFound",
			Message: "there is no such instance any more",
		}
	}
	return nil, nonsense(err)
}

// record returns an instance's record for the log; "" if it does not exist or cannot be read.
func record(ctx context.Context, kv *clientv3.Client, format discovery.Format, in amendment) string {
	got, err := kv.Get(ctx, format.Key(&discovery.Instance{Service: in.Service, ID: in.ID}))
	if err != nil || len(got.Kvs) == 0 {
		return ""
	}
	return auditOf(got.Kvs[0].Value)
}
