package xds

import (
	"net/url"
	"strings"

	"github.com/fairlead-go/fairlead/discovery"
)

// subsetPrefix begins the names of clusters that are a part of a service: subset:SERVICE:FILTER,
// both escaped.
const subsetPrefix = "subset:"

// clusterName is the name of the cluster, and of its endpoints, of the instances that a filter
// takes. It is the service's own name for all of them.
func clusterName(service string, f discovery.Filter) string {
	if f == "" && !strings.HasPrefix(service, subsetPrefix) {
		return service
	}
	return subsetPrefix + url.QueryEscape(service) + ":" + url.QueryEscape(string(f))
}

// parseCluster is clusterName backwards; false for what is no such name.
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
