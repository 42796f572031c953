package discovery_test

import (
	"errors"
	"math"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Each invalid argument is an error that says so, and none panics.
func TestNonsense(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := within(t)
	subscribe := func(c *clientv3.Client, opts ...discovery.DirectoryOption) error {
		d := discovery.NewDirectory(c, opts...)
		_, err := d.Subscribe("x")
		return errors.Join(err, d.Close())
	}
	register := func(c *clientv3.Client, opts ...discovery.RegistrarOption) error {
		r := discovery.NewRegistrar(c, opts...)
		_, err := r.Register(ctx, orders(t, "a"))
		if _, kerr := r.Keep(ctx, t.Name()+"/x", ""); !errors.Is(kerr, discovery.ErrInvalid) {
			t.Errorf("Keep: %v", kerr)
		}
		if r.Lease() != clientv3.NoLease {
			t.Error("it has a lease")
		}
		return errors.Join(err, r.Close())
	}
	own := registrar(t, c)
	g, err := own.Register(ctx, orders(t, "own"))
	if err != nil {
		t.Fatal(err)
	}
	_, keepErr := own.Keep(ctx, t.Name()+"/x", "", nil)
	_, readErr := discovery.ReadControl(ctx, nil, "x")
	none := func(*discovery.Control) error { return nil }
	for what, err := range map[string]error{
		"a directory without a client": subscribe(nil),
		"announced":                    subscribe(nil, discovery.WithAnnounce("me")),
		"a nil option":                 subscribe(c, nil, discovery.WithAnnounce("me")),
		"nil records":                  subscribe(c, discovery.WithFormat(nil)),
		"a negative hold":              subscribe(c, discovery.WithReturnHold(-1)),
		"a negative delay":             subscribe(c, discovery.WithAnnounceAfter(-1)),
		"a negative window": subscribe(c,
			discovery.WithProtection(discovery.Protection{Share: 0.5, Window: -1})),
		"a share of nothing": subscribe(c, discovery.WithProtection(discovery.Protection{})),
		"a share of more than all": subscribe(c,
			discovery.WithProtection(discovery.Protection{Share: 1.5})),
		"a share that is no number": subscribe(c,
			discovery.WithProtection(discovery.Protection{Share: math.NaN()})),
		"a negative least": subscribe(c,
			discovery.WithProtection(discovery.Protection{Share: 0.5, Least: -1})),
		"announcements of nobody":           subscribe(c, discovery.WithAnnounce("")),
		"a delay of no announcements":       subscribe(c, discovery.WithAnnounceAfter(1)),
		"files nowhere":                     subscribe(c, discovery.WithFiles("")),
		"no TTL":                            register(c, discovery.WithTTL(0)),
		"no writes":                         register(c, discovery.WithWriteRate(0)),
		"a negative drain":                  register(c, discovery.WithServing(-1)),
		"a registrar without a client":      register(nil),
		"a nil option of a registrar":       register(c, nil),
		"a nil format":                      register(c, discovery.WithFormat(nil)),
		"a nil option of Keep":              keepErr,
		"a nil change of an instance":       g.Update(ctx, nil),
		"a drain without a client":          discovery.Drain(ctx, nil, base(t), "x", "a"),
		"a removal without a format":        discovery.Remove(ctx, c, nil, "x", "a"),
		"operators' record without clients": readErr,
		"a change of it":                    discovery.ChangeControl(ctx, nil, "x", none),
		"a nil change of it":                discovery.ChangeControl(ctx, c, "x", nil),
	} {
		if !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var ctl discovery.Control
	ctl.Override("a", func(o *discovery.Override) { o.Weight = 5 })
	if ctl.Override("a", nil); len(ctl.Instances) != 0 {
		t.Errorf("%+v", ctl.Instances)
	}
}

// A port is a number from 1 to 65535.
func TestPorts(t *testing.T) {
	for address, ok := range map[string]bool{
		"h:1": true, "h:65535": true, "[::1]:80": true, "http://h": true, "http://h:8080/x": true,
		"grpc://h:9000?isSecure=false": true,
		"h:0":                          false, "h:-1": false, "h:+1": false, "h:65536": false, "h:99999": false,
		"h:http": false, "h:x": false,
		"h:": false, "h": false,
		"http://h:0": false, "http://h:99999": false, "http://h:http": false, "grpc://h": false,
	} {
		in := orders(t, "a")
		in.Addresses = []string{address}
		if err := in.Validate(); (err == nil) != ok || err != nil && !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
