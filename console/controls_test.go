package console_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// controlled is a service in the API's form.
type controlled struct {
	Name, Split string
	Instances   []struct {
		ID       string
		Weight   int
		Draining bool
		Share    float64
		Parts    []string
		Override *discovery.Override
		Own      *struct {
			Weight   int
			Draining bool
		}
	}
	Parts []struct {
		Filter         string
		Percent, Share float64
		Instances      int
	}
	Absent []struct {
		ID          string
		Maintenance bool
		Weight      int
	}
}

func (c *controlled) shares() string {
	var all []string
	for _, i := range c.Instances {
		all = append(all, fmt.Sprint(i.ID, ":", math.Round(i.Share*10)/10))
	}
	return strings.Join(all, " ")
}

// prospect is the effect of a change of the overrides.
type prospect struct {
	Seen          string
	Before, After controlled
	Warnings      []string
}

func (p *page) prospect(change map[string]any) (got prospect) {
	p.t.Helper()
	if status := p.call("POST", "api/services/prospect", change, &got); status != http.StatusOK {
		p.t.Fatalf("prospect of %v: status %d", change, status)
	}
	return got
}

// control makes such a change as a user does: after it was shown.
func (p *page) control(change map[string]any) prospect {
	p.t.Helper()
	got := p.prospect(change)
	change["seen"] = got.Seen
	if status := p.call("POST", "api/services/control", change, nil); status != http.StatusNoContent {
		p.t.Fatalf("%v: status %d", change, status)
	}
	delete(change, "seen")
	return got
}

// service returns a service of the list.
func (p *page) service(base, name string) controlled {
	p.t.Helper()
	var list struct{ Services []controlled }
	p.get("api/services?base="+base, &list)
	for _, s := range list.Services {
		if s.Name == name {
			return s
		}
	}
	p.t.Fatalf("there is no %s: %+v", name, list)
	return controlled{}
}

// withOrders registers three instances of a service under a base of the test's own. The service has
// the test's name, since the overrides of all bases are in one place.
func withOrders(t *testing.T, client *clientv3.Client) (base, name string) {
	t.Helper()
	base, name = t.Name()+"/", t.Name()
	for id, version := range map[string]string{"a": "v1", "b": "v1", "c": "v2"} {
		format := discovery.JSON{Base: base}
		text, err := format.Marshal(
			&discovery.Instance{Service: name, ID: id, Addresses: []string{"10.0.0.1:80"}, Version: version},
		)
		if err != nil {
			t.Fatal(err)
		}
		put(t, client, format.Key(&discovery.Instance{Service: name, ID: id}), string(text))
	}
	t.Cleanup(func() { put(t, client, "/fairlead/control/"+name, "{}") })
	return base, name
}

// TestControls: splits, weights and drains are shown before they are made, shown while they are in
// force, and recorded.
func TestControls(t *testing.T) {
	var log recorder
	p, client := open(t, console.WithAudit(log.record), console.WithName("the test's"))
	base, name := withOrders(t, client)
	change := func(more map[string]any) map[string]any {
		more["base"], more["service"] = base, name
		return more
	}
	if s := p.service(base, name); s.shares() != "a:33.3 b:33.3 c:33.3" || s.Split != "" || s.Parts != nil {
		t.Fatalf("%+v", s)
	}
	got := p.control(change(map[string]any{"split": []string{"v1=95", "v2=5"}}))
	if got.Before.shares() != "a:33.3 b:33.3 c:33.3" || got.After.shares() != "a:47.5 b:47.5 c:5" ||
		got.Warnings != nil {
		t.Fatalf("%+v", got)
	}
	log.pair(t, "split", "service "+name, "", "v1=95 v2=5", console.Done)
	s := p.service(base, name)
	if s.shares() != "a:47.5 b:47.5 c:5" || s.Split != "v1=95 v2=5" || len(s.Parts) != 2 || s.Parts[0].Instances != 2 ||
		s.Parts[1].Share != 5 ||
		len(s.Instances[0].Parts) != 1 ||
		s.Instances[0].Parts[0] != "v1" {
		t.Fatalf("%+v", s)
	}
	got = p.control(change(map[string]any{"id": "a", "weight": 30}))
	if got.After.shares() != "a:71.3 b:23.8 c:5" {
		t.Fatalf("%+v", got)
	}
	log.pair(t, "weight", "instance "+name+"/a", "{}", `{"weight":30}`, console.Done)
	got = p.control(change(map[string]any{"id": "c", "drain": true}))
	if got.After.shares() != "a:75 b:25 c:0" {
		t.Fatalf("%+v", got)
	}
	log.pair(t, "drain", "instance "+name+"/c", "{}", `{"maintenance":true}`, console.Done)
	s = p.service(base, name)
	a, c := s.Instances[0], s.Instances[2]
	if s.shares() != "a:75 b:25 c:0" || a.Weight != 30 || a.Own == nil || a.Own.Weight != 10 ||
		a.Override.Weight != 30 ||
		!c.Draining ||
		c.Own == nil ||
		c.Own.Draining ||
		s.Parts[1].Share != 0 ||
		s.Parts[0].Share != 100 {
		t.Fatalf("%+v", s)
	}
	// An absent instance is shown beside the others, and its overrides can be removed.
	p.control(change(map[string]any{"id": "gone", "drain": true, "weight": 7}))
	if s = p.service(base, name); len(s.Absent) != 1 || s.Absent[0].ID != "gone" || !s.Absent[0].Maintenance ||
		s.Absent[0].Weight != 7 {
		t.Fatalf("%+v", s)
	}
	p.control(change(map[string]any{"id": "gone", "drain": false, "weight": 0}))
	p.control(change(map[string]any{"id": "c", "drain": false}))
	p.control(change(map[string]any{"id": "a", "weight": 0}))
	p.control(change(map[string]any{"split": []string{}}))
	if s = p.service(base, name); s.shares() != "a:33.3 b:33.3 c:33.3" || s.Absent != nil ||
		s.Instances[0].Override != nil {
		t.Fatalf("%+v", s)
	}

	// The warnings for the user who confirms.
	if got = p.prospect(change(map[string]any{"split": []string{"v1=50", "v3=50"}})); len(got.Warnings) != 2 ||
		!strings.Contains(got.Warnings[0], "v3") ||
		!strings.Contains(got.Warnings[1], "get no calls: c") ||
		got.After.shares() != "a:50 b:50 c:0" {
		t.Fatalf("%+v", got)
	}
	p.control(change(map[string]any{"id": "a", "drain": true}))
	p.control(change(map[string]any{"id": "b", "drain": true}))
	if got = p.prospect(change(map[string]any{"id": "c", "drain": true})); len(got.Warnings) != 1 ||
		!strings.Contains(got.Warnings[0], "no instance") {
		t.Fatalf("%+v", got)
	}
}

// TestControlsThatMakeNoSense: invalid ones are refused and change nothing.
func TestControlsThatMakeNoSense(t *testing.T) {
	p, client := open(t)
	base, name := withOrders(t, client)
	for _, change := range []map[string]any{
		{}, {"service": name}, {"service": name, "id": "a"}, {"service": name, "id": "a", "split": []string{}},
		{"id": "a", "drain": true},
		{"service": name, "id": "a", "weight": -1}, {"service": name, "id": "a", "weight": 1 << 40},
		{"service": name, "id": "a/\x00", "weight": 1},
		{"service": name, "split": []string{"v1=95"}}, {"service": name, "split": []string{"v1=95", "v2=6"}},
		{"service": name, "split": []string{"color=red=100"}},
		{"service": name, "split": []string{"v1"}}, {"service": name, "split": []string{"=100"}},
		{"service": name, "other": 1},
	} {
		p.refused("POST", "api/services/prospect", change, http.StatusBadRequest, "bad_request")
		change["seen"] = "{}"
		if change["split"] != nil {
			change["seen"] = ""
		}
		p.refused("POST", "api/services/control", change, http.StatusBadRequest, "bad_request")
	}
	if v := value(t, client, "/fairlead/control/"+name); v != "<none>" {
		t.Fatalf("it wrote %s", v)
	}
	put(t, client, "/fairlead/control/"+name, "nonsense")
	e := p.refused(
		"POST",
		"api/services/prospect",
		map[string]any{"base": base, "service": name, "id": "a", "drain": true},
		http.StatusBadRequest,
		"bad_request",
	)
	if !strings.Contains(e.Error, "to be corrected or deleted") {
		t.Fatalf("%+v", e)
	}
	p.refused(
		"POST",
		"api/services/control",
		map[string]any{"base": base, "service": name, "id": "a", "drain": true, "seen": "{}"},
		http.StatusBadRequest,
		"bad_request",
	)
	if v := value(t, client, "/fairlead/control/"+name); v != "nonsense" {
		t.Fatalf("it wrote %s", v)
	}
}

// TestTwoOperatorsOnOneSplit: nothing is changed if it differs from what was shown.
func TestTwoOperatorsOnOneSplit(t *testing.T) {
	p, client := open(t)
	base, name := withOrders(t, client)
	split := map[string]any{"base": base, "service": name, "split": []string{"v1=95", "v2=5"}}
	weight := map[string]any{"base": base, "service": name, "id": "a", "weight": 30}
	split["seen"], weight["seen"] = p.prospect(split).Seen, p.prospect(weight).Seen
	p.control(map[string]any{"base": base, "service": name, "split": []string{"v1=50", "v2=50"}})
	p.control(map[string]any{"base": base, "service": name, "id": "a", "drain": true})
	var now string
	e := p.refused("POST", "api/services/control", split, http.StatusConflict, "conflict")
	if err := json.Unmarshal(e.Detail, &now); err != nil || now != "v1=50 v2=50" {
		t.Fatalf("%+v", e)
	}
	p.refused("POST", "api/services/control", weight, http.StatusConflict, "conflict")
	if s := p.service(base, name); s.Split != "v1=50 v2=50" || s.Instances[0].Weight == 30 {
		t.Fatalf("%+v", s)
	}
	// A change of another instance is not a conflict.
	other := map[string]any{"base": base, "service": name, "id": "b", "weight": 3}
	other["seen"] = p.prospect(other).Seen
	p.control(map[string]any{"base": base, "service": name, "id": "c", "weight": 4})
	if status := p.call("POST", "api/services/control", other, nil); status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
}

// TestControlsOfALimitedUser: a user who may not read the overrides sees the instances; one who may
// not write them changes nothing.
func TestControlsOfALimitedUser(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	format := discovery.JSON{Base: "app/"}
	text, err := format.Marshal(&discovery.Instance{Service: "s", ID: "i", Addresses: []string{"10.0.0.1:80"}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, format.Key(&discovery.Instance{Service: "s", ID: "i"}), string(text))
	withUsers(t, client)
	var log recorder
	p := serve(
		t,
		client,
		console.WithAudit(log.record),
		console.WithLogin(
			console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()}),
		),
	)
	p.signInWith(map[string]string{"user": "ann", "password": "a"})
	var list struct {
		Services []controlled
		Unknown  bool
	}
	p.get("api/services?base=app/", &list)
	if !list.Unknown || len(list.Services) != 1 || list.Services[0].Instances[0].Share != 100 {
		t.Fatalf("%+v", list)
	}
	p.refused(
		"POST",
		"api/services/prospect",
		map[string]any{"base": "app/", "service": "s", "id": "i", "drain": true},
		http.StatusForbidden,
		"PermissionDenied",
	)
	p.refused(
		"POST",
		"api/services/control",
		map[string]any{"base": "app/", "service": "s", "id": "i", "drain": true, "seen": "{}"},
		http.StatusForbidden,
		"PermissionDenied",
	)
	if all := log.take(); all[len(all)-1].Outcome != console.Failed || all[len(all)-1].User != "ann" {
		t.Fatalf("%+v", all)
	}
}

// TestControlsWhileEtcdIsAway: the answers are errors that give the reason.
func TestControlsWhileEtcdIsAway(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	p := serve(t, clienttest.Dial(t, cluster.Endpoints()...), console.WithToken(secret))
	p.signIn()
	p.get("api/count", nil)
	if err := cluster.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Members()[0].Thaw() })
	for _, path := range []string{"prospect", "control"} {
		var e failure
		if status := p.call("POST", "api/services/"+path,
			map[string]any{"service": t.Name(), "id": "i", "drain": true, "seen": "{}"}, &e); status < 500 ||
			e.Error == "" ||
			len(e.Members) == 0 {
			t.Errorf("%s: status %d, %+v", path, status, e)
		}
	}
}
