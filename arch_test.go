package fairlead

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// module is the root module's path.
const module = "github.com/fairlead-go/fairlead"

// pkg is what `go list -deps -json` says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func load(t *testing.T) map[string]pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := make(map[string]pkg)
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	return all
}

func under(path string, prefixes ...string) bool {
	for _, p := range prefixes {
		if path == module+"/"+p || strings.HasPrefix(path, module+"/"+p+"/") {
			return true
		}
	}
	return false
}

// rule says what the packages under a path may import of this module, and which
// modules of others.
type rule struct {
	of     []string // packages, by path below the module
	ours   []string // packages of ours that they may import; nil: none
	others []string // prefixes of import paths of others; nil: the standard library only
}

var (
	small = []string{
		"internal/worker",
		"internal/backoff",
		"internal/endpoint",
		"internal/site",
		"internal/wholefile",
	}
	apis    = []string{"go.etcd.io/etcd/api/v3/"}
	grpcAPI = []string{"google.golang.org/grpc", "google.golang.org/protobuf", "go.uber.org/zap"}
	// what several packages above the client share
	shared = []string{
		"internal/follow",
		"internal/doctor",
		"internal/scrape",
		"internal/transfer",
		"internal/relapse",
		"internal/realkeys",
	}
	rules = []rule{
		{of: small},
		{of: []string{"internal/pool", "internal/duplex"}, ours: small},
		{of: []string{"internal/faultnet"}},
		{of: []string{"internal/etcdtest"}, ours: []string{"internal/faultnet"}},
		{
			of:     []string{"internal/clienttest"},
			ours:   []string{"clientv3", "internal/etcdtest"},
			others: []string{"go.uber.org/zap"},
		}, // for tests only
		{
			of:   []string{"internal/follow"},
			ours: []string{"clientv3"},
		}, // for what keeps a copy, above the client
		{of: []string{"internal/scrape"}},
		{
			of:     []string{"internal/relapse"},
			ours:   []string{"clientv3", "internal/lease"},
			others: append(apis, "google.golang.org/grpc/codes"),
		}, // for owners of leases, above the client
		{
			of:   []string{"internal/realkeys"},
			ours: []string{"clientv3", "internal/retry"},
		}, // for what compares keys of several clients, above the client
		{
			of:     []string{"internal/doctor"},
			ours:   []string{"clientv3", "internal/scrape"},
			others: apis,
		}, // for the program and the console
		{
			of:     []string{"internal/transfer"},
			ours:   []string{"clientv3"},
			others: apis,
		}, // for the program and the console
		{of: []string{"internal/etcderr", "internal/wire"}, others: append(
			apis,
			"google.golang.org/grpc/codes",
			"google.golang.org/grpc/status",
			"google.golang.org/grpc/encoding",
			"google.golang.org/grpc/mem",
			"google.golang.org/protobuf",
		)},
		// The engines see narrow stream interfaces, never a connection.
		{
			of:     []string{"internal/watch", "internal/lease"},
			ours:   append(small, "internal/duplex"),
			others: append(apis, "google.golang.org/protobuf", "go.uber.org/zap"),
		},
		{of: []string{"internal/auth"}, ours: append(small, "internal/etcderr"), others: apis},
		{of: []string{"internal/transport"}, ours: append(small, "internal/etcderr"), others: grpcAPI},
		{
			of:     []string{"internal/balancer"},
			ours:   append(small, "internal/etcderr", "internal/transport"),
			others: append(apis, grpcAPI...),
		},
		{
			of: []string{"internal/retry"},
			ours: append(
				small,
				"internal/etcderr",
				"internal/transport",
				"internal/balancer",
				"internal/auth",
				"internal/wire",
			),
			others: append(apis, grpcAPI...),
		},
	}
)

// TestImportRules keeps data flowing one way: tools below engines below the client
// below everything built on it.
func TestImportRules(t *testing.T) {
	all := load(t)
	checked := make(map[string]bool)
	for path, p := range all {
		if !strings.HasPrefix(path, module) {
			continue
		}
		for _, r := range rules {
			if !under(path, r.of...) {
				continue
			}
			checked[path] = true
			for _, imp := range p.Imports {
				if strings.HasPrefix(imp, module) {
					if !under(imp, r.ours...) && !under(imp, strings.TrimPrefix(path, module+"/")) {
						t.Errorf("%s must not import %s", path, imp)
					}
				} else if !all[imp].Standard && !hasPrefix(imp, r.others) {
					t.Errorf("%s must not import %s", path, imp)
				}
			}
		}
		if under(path, "internal") && !checked[path] {
			t.Errorf("%s has no import rule", path)
		}
		// Everything above clientv3 uses public packages, the small tools and what they share.
		above := !under(path, "internal") && path != module && path != module+"/clientv3"
		for _, imp := range p.Imports {
			if above && under(imp, "internal") && !under(imp, small...) && !under(imp, shared...) {
				t.Errorf("%s must not import %s: what it needs must be public", path, imp)
			}
		}
	}
}

func hasPrefix(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// TestLightness keeps what a user of the library inherits small.
func TestLightness(t *testing.T) {
	for path := range load(t) {
		for _, heavy := range []string{
			"go.etcd.io/etcd/server", "go.etcd.io/etcd/client", "go.etcd.io/etcd/pkg", "github.com/go-kit/",
			"github.com/prometheus/", "go.opentelemetry.io/",
		} {
			if strings.HasPrefix(path, heavy) {
				t.Errorf("the root module depends on %s", path)
			}
		}
	}
}
