package discovery_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Each format reads back the fields that it can carry.
func TestFormats(t *testing.T) {
	full := &discovery.Instance{
		Service: "orders", ID: "a-1", Addresses: []string{"10.0.0.1:80"}, Version: "v2", Zone: "east", Weight: 7,
		Tags: []string{"blue", "new"}, Metadata: map[string]string{"team": "x"}, State: discovery.Draining,
	}
	for name, f := range map[string]discovery.Format{
		"json": discovery.JSON{}, "naming": discovery.Naming{Base: "/n/"},
	} {
		v, err := f.Marshal(full)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Unmarshal("orders", f.Key(full), v)
		if err != nil || !reflect.DeepEqual(got, full) {
			t.Errorf("%s: %+v, %v, from %s", name, got, err, v)
		}
	}
	kratos := discovery.Kratos{}
	v, err := kratos.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	want := *full
	want.Addresses = []string{"grpc://10.0.0.1:80"}
	if got, err := kratos.Unmarshal("orders", kratos.Key(full), v); err != nil || !reflect.DeepEqual(got, &want) {
		t.Errorf("kratos: %+v, %v, from %s", got, err, v)
	}
	raw := discovery.Raw{Base: "/services/"}
	v, err = raw.Marshal(full)
	if err != nil || string(v) != "10.0.0.1:80" || raw.Key(full) != "/services/orders/a-1" {
		t.Errorf("raw: %s, %v, %s", v, err, raw.Key(full))
	}
	for _, f := range []discovery.Format{raw, discovery.Naming{}} {
		for _, addresses := range [][]string{nil, {"10.0.0.1:80", "10.0.0.1:81"}} {
			v, err := f.Marshal(&discovery.Instance{Service: "orders", ID: "a", Addresses: addresses})
			if !errors.Is(err, discovery.ErrInvalid) {
				t.Errorf("%T, %v: %s, %v", f, addresses, v, err)
			}
		}
	}
	if _, err := (discovery.GoZero{}).Marshal(full); err != discovery.ErrReadOnly {
		t.Errorf("go-zero: %v", err)
	}
}

// Records as other systems write them.
func TestForeignRecords(t *testing.T) {
	for _, c := range []struct {
		format     discovery.Format
		key, value string
		want       *discovery.Instance
	}{
		{discovery.Raw{Base: "/services/"}, "/services/s/1.2.3.4:8080", "http://1.2.3.4:8080",
			&discovery.Instance{ID: "1.2.3.4:8080", Addresses: []string{"http://1.2.3.4:8080"}}},
		{discovery.Naming{}, "s/1.2.3.4:80", `{"Op":0,"Addr":"1.2.3.4:80","Metadata":null}`,
			&discovery.Instance{ID: "1.2.3.4:80", Addresses: []string{"1.2.3.4:80"}}},
		{discovery.Naming{}, "s/x", `{"Op":0,"Addr":"1.2.3.4:80","Metadata":[1,2]}`,
			&discovery.Instance{
				ID: "x", Addresses: []string{"1.2.3.4:80"}, Metadata: map[string]string{"metadata": "[1,2]"},
			}},
		{discovery.Naming{}, "s/x", `{"Addr":"1.2.3.4:80","Metadata":{"weight":"3","tags":"blue","zone":"z"}}`,
			&discovery.Instance{
				ID: "x", Addresses: []string{"1.2.3.4:80"}, Weight: 3, Tags: []string{"blue"}, Zone: "z",
			}},
		{discovery.Kratos{}, "/microservices/s/0",
			`{"id":"0","name":"s","version":"v1","metadata":{"weight":"10"},"endpoints":["grpc://127.0.0.1:9000?isSecure=false"]}`,
			&discovery.Instance{
				ID: "0", Addresses: []string{"grpc://127.0.0.1:9000?isSecure=false"}, Version: "v1", Weight: 10,
			}},
		{discovery.Kratos{}, "/microservices/s/0",
			`{"id":"0","name":"s","version":"v1","endpoints":["grpc://127.0.0.1:9000"]}`,
			&discovery.Instance{ID: "0", Addresses: []string{"grpc://127.0.0.1:9000"}, Version: "v1", Weight: 100}},
		{discovery.GoZero{}, "s/7587862094", "10.0.0.5:8080", &discovery.Instance{
			ID: "7587862094", Addresses: []string{"10.0.0.5:8080"},
		}},
	} {
		got, err := c.format.Unmarshal("s", c.key, []byte(c.value))
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		c.want.Service = "s"
		if !got.Equal(c.want) {
			t.Errorf("%s: %+v, want %+v", c.value, got, c.want)
		}
	}
	for _, c := range []struct {
		format     discovery.Format
		key, value string
	}{
		{discovery.Raw{}, "s/", "h:1"}, {discovery.Raw{}, "other/x", "h:1"}, {discovery.Naming{}, "s/x", "[]"},
		{discovery.Naming{}, "s/x", `{"Addr":""}`},
		{discovery.Kratos{}, "/microservices/s/0", `{"id":"0","name":"t","endpoints":["grpc://h:1"]}`},
		{discovery.Kratos{}, "/microservices/s/0", "x"},
		{discovery.Kratos{}, "/microservices/s/0",
			`{"id":"0","name":"s","metadata":{"weight":"-1"},"endpoints":["grpc://h:1"]}`},
		{discovery.JSON{}, "/fairlead/services/s/x", `{"service":"s","id":"y","addresses":["h:1"]}`},
		{discovery.GoZero{}, "s/1", ""},
	} {
		if got, err := c.format.Unmarshal("s", c.key, []byte(c.value)); err == nil {
			t.Errorf("%s %s: %+v", c.key, c.value, got)
		}
	}
	if _, err := (discovery.Raw{}).Unmarshal("s", "s/", nil); !errors.Is(err, discovery.ErrNotInstance) {
		t.Errorf("a marker: %v", err)
	}
}

// A format may change a record, for example add a scheme. A restarted process finds its record all
// the same, since records are compared as decoded.
func TestFormatsThatChange(t *testing.T) {
	c := clienttest.Shared(t)
	f := discovery.Kratos{Base: t.Name() + "/k/"}
	in := discovery.Instance{Service: "orders", ID: "a", Addresses: []string{"10.0.0.1:80", "10.0.0.1:81"}}
	crashed := registrar(t, c, discovery.WithFormat(f))
	register(t, crashed, in)
	g := register(t, registrar(t, c, discovery.WithFormat(f)), in)
	err := g.Update(within(t), func(in *discovery.Instance) { in.Version, in.State = "v2", discovery.Draining })
	if err != nil {
		t.Fatal(err)
	}
	if v := value(t, c, g.Key()); !strings.Contains(v, "draining") || !strings.Contains(v, "v2") {
		t.Errorf("record %s", v)
	}
	if now := g.Instance(); !slices.Equal(now.Addresses, in.Addresses) || !now.IsDraining() {
		t.Errorf("%+v", now)
	}
}
