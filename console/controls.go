package console

// Operators' overrides of a service: weights, drains and the split of its calls. Each change is
// shown before it is made, and made only if the state that it changes is still the one shown.

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
	Percent float64          `json:"percent"` // as the operator set it
	// the actual share: parts without an instance that takes calls leave theirs to the others
	Share     float64 `json:"share"`
	Instances int     `json:"instances"` // those that take calls
}

// own has an instance's own values that operators override.
type own struct {
	Weight   int  `json:"weight"`
	Draining bool `json:"draining"`
}

// absent has the overrides of an instance that is not registered.
type absent struct {
	ID string `json:"id"`
	discovery.Override
}

// control applies the operators' overrides to a service, and lists those of instances that are not
// registered.
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

// shareOut computes the percentage of the calls that each instance gets from clients that use the
// split and the weights, and from that the shares of the split's parts.
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
		give("", 100) // no part has instances, or there is no split: all get some
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

// proposal is a change of the operators' overrides for a service: for one of its instances, or with
// Split for the split of its calls.
type proposal struct {
	Records, Base, Service string
	ID                     string
	Weight                 *int      // 0 for the instance's own weight
	Drain                  *bool     //
	Split                  *[]string // in the form of ParseSplit; empty for no split
	// Seen is the state that the user has seen and confirms: see stand.
	Seen string
}

// prospect is the state of a service after a proposal.
type prospect struct {
	Seen     string   `json:"seen"` // to be sent back with the proposal
	Before   service  `json:"before"`
	After    service  `json:"after"`
	Warnings []string `json:"warnings,omitempty"`
}

// stand returns the overrides that a proposal changes, as they are shown and recorded.
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

// apply makes the change in a control record.
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

// what names the change of a proposal for the log.
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

// postProspect shows the effect of a proposal. It changes nothing.
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

// find returns a copy of a service, without instances if it is not registered.
func (list *serviceList) find(name string) service {
	for _, s := range list.Services {
		if s.Name == name {
			s.Instances = slices.Clone(s.Instances)
			return s
		}
	}
	return service{Name: name, Instances: []instance{}}
}

// warn adds warnings for the user who confirms.
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

// postControl makes the change of a proposal, if the state that it changes is still the one shown.
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

// nonsense turns a refusal of discovery into one for pages; it leaves other errors unchanged.
func nonsense(err error) error {
	if errors.Is(err, discovery.ErrInvalid) || errors.Is(err, discovery.ErrReadOnly) {
		return badRequest(err.Error())
	}
	return err
}

// override shows the instances as their followers see them. For users who may not read the
// overrides, it shows the instances' own values.
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
