package xds

import (
	"net/url"
	"strings"

	"github.com/fairlead-go/fairlead/discovery"
)

// subsetPrefix begins the names of clusters that are part of a service: subset:SERVICE:FILTER,
// both escaped.
const subsetPrefix = "subset:"

// clusterName returns the name of the cluster, and of its endpoints, of the instances that a
// filter matches. For all instances it is the service's own name.
func clusterName(service string, f discovery.Filter) string {
	if f == "" && !strings.HasPrefix(service, subsetPrefix) {
		return service
	}
	return subsetPrefix + url.QueryEscape(service) + ":" + url.QueryEscape(string(f))
}

// parseCluster reverses clusterName; it returns false for any other name.
func parseCluster(name string) (service string, f discovery.Filter, ok bool) {
	rest, subset := strings.CutPrefix(name, subsetPrefix)
	if !subset {
		return name, "", true
	}
	first, second, _ := strings.Cut(rest, ":")
	service, err := url.QueryUnescape(first)
	if err != nil {
		return "", "", false
	}
	text, err := url.QueryUnescape(second)
	f = discovery.Filter(text)
	if err != nil || f.Validate() != nil || clusterName(service, f) != name {
		return "", "", false
	}
	return service, f, true
}
