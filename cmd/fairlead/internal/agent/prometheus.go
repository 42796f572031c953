package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-go/fairlead/discovery"
)

// metaLabel begins the labels that Prometheus drops after relabeling.
const metaLabel = "__meta_fairlead_"

// targetGroup is an instance, as Prometheus' http_sd and file_sd take it.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// newTarget is an instance's: its preferred address; false if that leads nowhere. Instances that
// drain are targets too: they still run.
func newTarget(in *discovery.Instance) (targetGroup, bool) {
	if len(in.Addresses) == 0 {
		return targetGroup{}, false
	}
	at, err := discovery.HostPort(in.Addresses[0])
	if err != nil {
		return targetGroup{}, false
	}
	l := map[string]string{}
	set := func(name, value string) {
		if _, ok := l[metaLabel+name]; value != "" && !ok { // to Prometheus no label and an empty one are the same
			l[metaLabel+name] = strings.ToValidUTF8(value, "\ufffd")
		}
	}
	set("service", in.Service)
	set("id", in.ID)
	set("address", in.Addresses[0])
	set("version", in.Version)
	set("zone", in.Zone)
	set("cluster", in.Cluster)
	set("weight", strconv.Itoa(in.EffectiveWeight()))
	set("draining", strconv.FormatBool(in.IsDraining()))
	if len(in.Tags) > 0 {
		set("tags", ","+strings.Join(in.Tags, ",")+",") // so that ",tag," finds each, as with other systems
	}
	keys := make([]string, 0, len(in.Metadata))
	for k := range in.Metadata {
		keys = append(keys, k)
	}
	slices.Sort(keys) // of several that become the same label, the first counts
	for _, k := range keys {
		set("metadata_"+labelName(k), in.Metadata[k])
	}
	return targetGroup{[]string{at}, l}, true
}

// labelName has what a label's name may not have as an underscore.
func labelName(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, key)
}

// targetList is the targets of views, in the order of services and ids. They are made one by one,
// when they are encoded: of all together there would be more than of all that the agent knows.
type targetList struct {
	views  []*discovery.View
	filter discovery.Filter
}

func (l targetList) all() iter.Seq[targetGroup] {
	return func(yield func(targetGroup) bool) {
		for _, v := range l.views {
			ins := v.Instances()
			slices.SortFunc(ins, func(x, y *discovery.Instance) int { return strings.Compare(x.ID, y.ID) })
			for _, in := range ins {
				if !l.filter.Matches(in) {
					continue
				}
				if g, ok := newTarget(in); ok && !yield(g) {
					return
				}
			}
		}
	}
}

// encode writes the list for Prometheus, a line for each target.
func (l targetList) encode(to io.Writer) error {
	w := bufio.NewWriter(to) // keeps its first error
	before := "[\n"
	for g := range l.all() {
		text, err := json.Marshal(g)
		if err != nil {
			return err
		}
		_, _ = w.WriteString(before)
		_, _ = w.Write(text)
		before = ",\n"
	}
	if before == "[\n" {
		_, _ = w.WriteString("[]\n")
	} else {
		_, _ = w.WriteString("\n]\n")
	}
	return w.Flush()
}

// targets is what Prometheus' http_sd asks for. It fails if a service is not known: then Prometheus
// keeps the targets that it has.
func (a *api) targets(r *http.Request) (int, any, error) {
	f, err := filter(r)
	if err != nil {
		return 0, nil, err
	}
	patterns := r.URL.Query()["service"]
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	names, err := a.matching(r.Context(), patterns)
	if err != nil {
		return 0, nil, err
	}
	for _, name := range names { // all are being read before the first is waited for
		if _, err := a.feeds.at(name); err != nil {
			return 0, nil, err
		}
	}
	views := make([]*discovery.View, 0, len(names))
	for _, name := range names {
		_, v, err := a.feeds.ready(r.Context(), name)
		if err != nil {
			return 0, nil, err
		}
		views = append(views, v)
	}
	return http.StatusOK, targetList{views, f}, nil
}

// matching are the services that are named, and those whose names begin as a pattern says, in
// order.
func (a *api) matching(ctx context.Context, patterns []string) ([]string, error) {
	var names []string
	var all []serviceCount
	for _, p := range patterns {
		prefix, many := strings.CutSuffix(p, "*")
		if !many {
			names = append(names, p)
			continue
		}
		if all == nil {
			list, err := a.listing(ctx)
			if err != nil {
				return nil, err
			}
			all = list.Services
		}
		for _, s := range all {
			if strings.HasPrefix(s.Service, prefix) {
				names = append(names, s.Service)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
