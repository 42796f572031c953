package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Endpoints returns the endpoints of --endpoints or, with --discovery-srv, of the domain's SRV
// records.
func (a *App) Endpoints(ctx context.Context) ([]string, error) {
	f := &a.Conn
	if f.DiscoverySRV == "" {
		f.Endpoints = tidy(f.Endpoints)
		if len(f.Endpoints) == 0 {
			return nil, UsageError{errors.New("--endpoints names none")}
		}
		return f.Endpoints, nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.CommandTimeout)
	defer cancel()
	found, err := f.lookupSRV(ctx, net.DefaultResolver.LookupSRV)
	if err != nil {
		return nil, err
	}
	f.Endpoints, f.DiscoverySRV = found, "" // looked up only once for a run
	return found, nil
}

// tidy returns the endpoints as etcdctl takes them: "a, b," names two.
func tidy(endpoints []string) (list []string) {
	for _, ep := range endpoints {
		if ep = strings.TrimSpace(ep); ep != "" {
			list = append(list, ep)
		}
	}
	return list
}

type srvLookup func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)

// lookupSRV asks for the two services that etcd's documentation names: with TLS, and without unless
// --insecure-discovery=false.
func (f *ConnFlags) lookupSRV(ctx context.Context, lookup srvLookup) ([]string, error) {
	suffix := ""
	if f.discoveryName != "" {
		suffix = "-" + f.discoveryName
	}
	services := []struct{ name, scheme string }{{"etcd-client-ssl" + suffix, "https"}}
	if f.insecureDiscovery {
		services = append(services, struct{ name, scheme string }{"etcd-client" + suffix, "http"})
	}
	var found []string
	var problems []error
	for _, s := range services {
		_, records, err := lookup(ctx, s.name, "tcp", f.DiscoverySRV)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, r := range records {
			found = append(
				found,
				fmt.Sprintf(
					"%s://%s",
					s.scheme,
					net.JoinHostPort(strings.TrimSuffix(r.Target, "."), fmt.Sprint(r.Port)),
				),
			)
		}
	}
	if len(found) == 0 {
		return nil, UnreachableError{Cause: fmt.Errorf("no SRV records name the endpoints of --discovery-srv %s: %w",
			f.DiscoverySRV, errors.Join(problems...))}
	}
	return found, nil
}
