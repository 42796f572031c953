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

// metaLabel is the prefix of labels that Prometheus drops after relabeling.
const metaLabel = "__meta_fairlead_"

// targetGroup is an instance in the format of Prometheus' http_sd and file_sd.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// newTarget returns the target of an instance, with its preferred address; false if the instance
// has no usable address. Draining instances are targets too: they still run.
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
		set("tags", ","+strings.Join(in.Tags, ",")+",") // so that ",tag," finds each tag, as with others
	}
	keys := make([]string, 0, len(in.Metadata))
	for k := range in.Metadata {
		keys = append(keys, k)
	}
	slices.Sort(keys) // of several keys that become the same label, the first counts
	for _, k := range keys {
		set("metadata_"+labelName(k), in.Metadata[k])
	}
	return targetGroup{[]string{at}, l}, true
}

// labelName replaces with underscores the characters that a label's name may not have.
func labelName(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, key)
}

// targetList is the targets of views, in the order of services and ids. It makes them one by one
// while it encodes: all at once would take more memory than all that the agent knows.
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

// encode writes the list for Prometheus, a target per line.
func (l targetList) encode(to io.Writer) error {
	w := bufio.NewWriter(to) // keeps its first error until Flush
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

// targets answers Prometheus' http_sd. It fails if a service is not known: then Prometheus keeps
// its targets.
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
	for _, name := range names { // begin to read all of them before waiting for the first
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

// matching returns the services that are named, and those that match a pattern, in order.
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
