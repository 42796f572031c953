package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/compat/internal/workcopy"
)

// Versions of the tested projects. The client's own is the release whose API ours has.
const (
	etcdVersion       = "v3.7.3"
	kubernetesVersion = "v0.37.2"
	corednsVersion    = "v1.15.0"
	goZeroVersion     = "v1.10.3"
	goKitVersion      = "v0.13.0"
	kvtoolsVersion    = "v1.0.2"
)

// stall is how long a package may go without a test that begins or ends before it counts as hung.
// The slowest test of etcd takes about a minute on two cores.
const stall = 4 * time.Minute

// suite is a project's tests and what they need.
type suite struct {
	name     string
	what     string // for the documentation
	module   string
	version  string
	optional []workcopy.Optional
	packages []string // patterns for the go command
	except   []string // packages, with those below them, that another suite has
	without  []string // patterns of tests that are not run
	tags     string
	quick    bool // in the part that CI runs
	server   *server
}

// server is the etcd that a suite expects.
type server struct {
	port int    // on 127.0.0.1; 0: any
	env  string // environment variable that has its URL for the tests; empty: they know it
}

// cacheModule is etcd's cache, which one file of etcd's tests needs.
var cacheModule = []workcopy.Optional{{
	Module: "go.etcd.io/etcd/cache/v3", Version: etcdVersion, Files: []string{"integration/cache_test.go"},
}}

func suites() []suite {
	etcd := func(name, tags, what string, packages ...string) suite {
		return suite{
			name: name, what: what, module: "go.etcd.io/etcd/tests/v3", version: etcdVersion,
			optional: cacheModule, packages: packages, tags: tags,
		}
	}
	client := etcd("etcd-client", "", "etcd's tests of its client", "./integration/clientv3/...")
	client.quick = true
	rest := etcd("etcd-integration", "", "etcd's other integration tests", "./integration/...")
	rest.except = []string{"integration/clientv3"}
	restProxy := etcd("etcd-integration-proxy", "cluster_proxy", "the same through the gRPC proxy", "./integration/...")
	restProxy.except = rest.except
	commonProxy := etcd("etcd-common-proxy", "integration,cluster_proxy", "the same through the gRPC proxy", "./common")
	// They fail with the official client too (permission denied). They also leave goroutines
	// behind, so that etcd's check ends the whole binary.
	commonProxy.without = []string{".*Auth.*"}
	return []suite{
		client,
		etcd("etcd-client-proxy", "cluster_proxy", "the same through the gRPC proxy", "./integration/clientv3/..."),
		etcd("etcd-common", "integration", "etcd's tests of everything that it serves", "./common"),
		commonProxy,
		rest,
		restProxy,
		{
			name: "etcdctl", what: "etcd's command line", module: "go.etcd.io/etcd/etcdctl/v3", version: etcdVersion,
			packages: []string{"./..."},
		},
		{
			name: "kubernetes", what: "the storage of the Kubernetes API server",
			module: "k8s.io/apiserver", version: kubernetesVersion,
			packages: []string{"./pkg/storage/etcd3/...", "./pkg/storage/storagebackend/factory"}, quick: true,
		},
		{
			name: "coredns", what: "the etcd plugin of CoreDNS", module: "github.com/coredns/coredns",
			version:  corednsVersion,
			packages: []string{"./plugin/etcd/..."}, tags: "etcd", server: &server{port: 2379},
		},
		{
			name: "go-zero", what: "discovery of go-zero", module: "github.com/zeromicro/go-zero",
			version:  goZeroVersion,
			packages: []string{"./core/discov/...", "./zrpc/resolver/internal"},
		},
		{
			name: "go-kit", what: "go-kit's own adapter, over our client", module: "github.com/go-kit/kit",
			version:  goKitVersion,
			packages: []string{"./sd/etcdv3"}, tags: "flaky_integration", server: &server{env: "ETCD_ADDR"},
		},
		{
			name: "kvtools", what: "the etcd store of kvtools", module: "github.com/kvtools/etcdv3",
			version:  kvtoolsVersion,
			packages: []string{"."}, server: &server{port: 4001},
		},
	}
}

// choose returns the suites of the given names, or all if there are none. With quick it returns
// only those that CI runs.
func choose(all []suite, names []string, quick bool) ([]suite, error) {
	for _, n := range names {
		if !slices.ContainsFunc(all, func(s suite) bool { return s.name == n }) {
			return nil, fmt.Errorf("there is no suite %q: --list shows all", n)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(s suite) bool {
		return len(names) > 0 && !slices.Contains(names, s.name) || quick && !s.quick
	}), nil
}
