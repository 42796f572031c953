package console

// What operators say of a service: weights, drains and the split of its calls. All of it is shown
// before it is changed, and changed only if it still is what was shown.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

// part is a part of a split.
type part struct {
	Filter  discovery.Filter `json:"filter"`
	Percent float64          `json:"percent"` // as it was asked for
	// as it is: parts without an instance that takes calls give theirs to the others
	Share     float64 `json:"share"`
	Instances int     `json:"instances"` // that take calls
}

// own is what an instance says of itself where operators say something else.
type own struct {
	Weight   int  `json:"weight"`
	Draining bool `json:"draining"`
}

// absent is what operators say of an instance that is not there.
type absent struct {
	ID string `json:"id"`
	discovery.Override
}

// control shows a service as operators have it: what they say of each instance, and of those that
// are not there.
func (s *service) control(ctl *discovery.Control) {
	there := make(map[string]bool, len(s.Instances))
	for i := range s.Instances {
		in := &s.Instances[i]
		there[in.ID] = true
		if o, ok := ctl.Instances[in.ID]; ok {
			in.Override, in.Own = &o, &own{in.EffectiveWeight(), in.IsDraining()}
		}
		in.Instance = ctl.Shown(in.Instance)
		in.Draining = in.IsDraining()
	}
	for _, id := range slices.Sorted(maps.Keys(ctl.Instances)) {
		if !there[id] {
			s.Absent = append(s.Absent, absent{id, ctl.Instances[id]})
		}
	}
	s.Split = ctl.Split.String()
	s.Parts = shareOut(s.Instances, ctl.Split)
}

// shareOut says how many of the calls, in percent, each instance gets from those who follow the
// split and the weights, and what that makes of the parts of the split.
func shareOut(list []instance, split discovery.Split) []part {
	takes := func(f discovery.Filter, in *instance) bool { return !in.Draining && f.Matches(in.Instance) }
	give := func(f discovery.Filter, share float64) {
		weight := 0
		for i := range list {
			if takes(f, &list[i]) {
				weight += list[i].EffectiveWeight()
			}
		}
		for i := range list {
			if takes(f, &list[i]) {
				list[i].Share += share * float64(list[i].EffectiveWeight()) / float64(weight)
			}
		}
	}
	for i := range list {
		list[i].Share, list[i].Parts = 0, nil
	}
	parts, live := []part(nil), 0.0
	for _, f := range split.Filters() {
		p := part{Filter: f, Percent: split[f]}
		for i := range list {
			if f.Matches(list[i].Instance) {
				list[i].Parts = append(list[i].Parts, f)
			}
			if takes(f, &list[i]) {
				p.Instances++
			}
		}
		if p.Instances > 0 {
			live += p.Percent
		}
		parts = append(parts, p)
	}
	if live == 0 {
		give("", 100) // nobody takes their part, or there is no split: all get some
		return parts
	}
	for i := range parts {
		if p := &parts[i]; p.Instances > 0 && p.Percent > 0 {
			p.Share = 100 * p.Percent / live
			give(p.Filter, p.Share)
		}
	}
	return parts
}

// proposal is a change to what operators say of a service: of one of its instances, or with Split
// given how its calls are split.
type proposal struct {
	Records, Base, Service string
	ID                     string
	Weight                 *int      // 0 for the instance's own
	Drain                  *bool     //
	Split                  *[]string // as ParseSplit takes it; empty for none
	// Seen is what was shown to whoever confirms it: see stand.
	Seen string
}

// prospect is what a proposal would make of a service.
type prospect struct {
	Seen     string   `json:"seen"` // to be sent back
	Before   service  `json:"before"`
	After    service  `json:"after"`
	Warnings []string `json:"warnings,omitempty"`
}

// stand is what operators say of what a proposal is about, as it is shown and recorded.
func (in *proposal) stand(ctl *discovery.Control) string {
	if in.Split != nil {
		return ctl.Split.String()
	}
	text, err := json.Marshal(ctl.Instances[in.ID])
	if err != nil {
		return ""
	}
	return string(text)
}

// apply changes what operators say.
func (in *proposal) apply(ctl *discovery.Control) error {
	if in.Split != nil {
		split, err := discovery.ParseSplit(*in.Split...)
		ctl.Split = split
		return err
	}
	ctl.Override(in.ID, func(o *discovery.Override) {
		if in.Weight != nil {
			o.Weight = *in.Weight
		}
		if in.Drain != nil {
			o.Maintenance = *in.Drain
		}
	})
	return ctl.Validate()
}

// what says what a proposal is about, for the log.
func (in *proposal) what() (action, target string) {
	switch {
	case in.Split != nil:
		return "split", "service " + auditOf([]byte(in.Service))
	case in.Weight != nil:
		action = "weight"
	case *in.Drain:
		action = "drain"
	default:
		action = "undrain"
	}
	return action, "instance " + auditOf([]byte(in.Service+"/"+in.ID))
}

func readProposal(r *request) (*proposal, error) {
	in := new(proposal)
	if err := decode(r.Request, in); err != nil {
		return nil, err
	}
	if in.Service == "" || (in.Split == nil) == (in.ID == "") ||
		in.Split == nil && in.Weight == nil && in.Drain == nil {
		return nil, badRequest("a service is needed, and a split or an instance with a weight or a drain")
	}
	return in, nil
}

// postProspect says what a proposal would do. It changes nothing.
func postProspect(r *request) (any, error) {
	in, err := readProposal(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	ctl, err := discovery.ReadControl(ctx, r.client, in.Service)
	if err != nil {
		return nil, nonsense(err)
	}
	list, err := recordsOf(ctx, r.client, in.Records, in.Base)
	if err != nil {
		return nil, err
	}
	p := &prospect{Seen: in.stand(&ctl)}
	p.Before, p.After = list.find(in.Service), list.find(in.Service)
	p.Before.control(&ctl)
	ctl.Instances = maps.Clone(ctl.Instances)
	if err := in.apply(&ctl); err != nil {
		return nil, nonsense(err)
	}
	p.After.control(&ctl)
	p.warn(in)
	return p, nil
}

// find is a copy of a service, without instances if it is not there.
func (list *serviceList) find(name string) service {
	for _, s := range list.Services {
		if s.Name == name {
			s.Instances = slices.Clone(s.Instances)
			return s
		}
	}
	return service{Name: name, Instances: []instance{}}
}

// warn says what those who confirm should know.
func (p *prospect) warn(in *proposal) {
	up, starved := 0, []string(nil)
	for _, i := range p.After.Instances {
		if i.Draining {
			continue
		}
		up++
		if i.Share == 0 {
			starved = append(starved, i.ID)
		}
	}
	say := func(format string, args ...any) { p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...)) }
	if up == 0 && len(p.After.Instances) > 0 {
		say("Then no instance of the service takes new work.")
	}
	if in.Split == nil {
		return
	}
	for _, part := range p.After.Parts {
		if part.Instances == 0 && part.Percent > 0 {
			say("No instance is %s now: its part goes to the others until there is one.", part.Filter)
		}
	}
	if n := len(starved); n > 0 {
		say("%d of the instances that take work get no calls: %s", n, strings.Join(starved[:min(5, n)], ", "))
	}
}

// postControl does what a proposal says, if what it changes is what was shown.
func postControl(r *request) (any, error) {
	in, err := readProposal(r)
	if err != nil {
		return nil, err
	}
	if err := r.begin(in.what()); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	err = discovery.ChangeControl(ctx, r.client, in.Service, func(ctl *discovery.Control) error {
		now := in.stand(ctl)
		r.change.Before = auditOf([]byte(now))
		if now != in.Seen {
			return conflict("somebody else changed this meanwhile; nothing was done", now)
		}
		if err := in.apply(ctl); err != nil {
			return err
		}
		r.change.After = auditOf([]byte(in.stand(ctl)))
		return nil
	})
	return nil, nonsense(err)
}

// nonsense makes a refusal of discovery's one for pages; others stay.
func nonsense(err error) error {
	if errors.Is(err, discovery.ErrInvalid) || errors.Is(err, discovery.ErrReadOnly) {
		return badRequest(err.Error())
	}
	return err
}

// override shows the instances as followers of the services see them. Who may not read what
// operators say sees them as they are.
func (list *serviceList) override(ctx context.Context, c *clientv3.Client) error {
	controls, err := discovery.ReadControls(ctx, c)
	if err != nil {
		if !refused(err) {
			return err
		}
		list.Unknown = true
	}
	for i := range list.Services {
		ctl := controls[list.Services[i].Name]
		list.Services[i].control(&ctl)
	}
	return nil
}
