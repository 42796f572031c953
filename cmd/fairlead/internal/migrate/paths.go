package migrate

import (
	"path"
	"strings"
)

const (
	ours   = "github.com/fairlead-go/fairlead/clientv3"
	goKit  = goKitModule + "/sd/etcdv3"
	kratos = kratosModule + "/etcd"

	goKitModule  = "github.com/fairlead-go/fairlead/adapters/gokit"
	kratosModule = "github.com/fairlead-go/fairlead/adapters/kratos"
	api          = "go.etcd.io/etcd/api/v3/"
)

// move is a path that changed. Paths below it change with it, unless the list has a longer path.
type move struct {
	from string
	to   string // "" if it stays
	why  string // the reason why it needs a look
}

const (
	gone      = "there is nothing like it; remove what needs it"
	oldNaming = "gRPC dropped what this package was for; it is kept, but naming/endpoints and naming/resolver are " +
		"what works with a current gRPC"
	oldManager = "this package restored snapshots until etcd 3.4; restoring is the work of etcdutl now"
	serverTest = "starts servers for tests; the official module go.etcd.io/etcd/tests/v3 has it"
)

var moved = moves()

// moves lists all paths; a path that begins others comes after them.
func moves() []move {
	list := []move{
		{"go.etcd.io/etcd/client/v3/internal", "", "internal packages of the official client are not ours"},
		{"go.etcd.io/etcd/client/v3", ours, ""},
		{"github.com/go-kit/kit/sd/etcdv3", goKit, ""},
		{"github.com/go-kratos/kratos/contrib/registry/etcd/v2", kratos, ""},
	}
	// The module was split in 3.5; before, all of etcd was one module.
	for _, root := range []string{"go.etcd.io/etcd/", "github.com/coreos/etcd/", "go.etcd.io/etcd/v3/"} {
		list = append(list,
			move{root + "clientv3/balancer", "", gone},
			move{root + "clientv3/integration", "", serverTest},
			move{root + "clientv3/naming", ours + "/naming", oldNaming},
			move{root + "clientv3/snapshot", ours + "/snapshot", oldManager},
			move{root + "clientv3", ours, ""},
			move{root + "contrib/recipes", ours + "/experimental/recipes", ""},
			move{root + "etcdserver/etcdserverpb", api + "etcdserverpb", ""},
			move{root + "etcdserver/api/v3rpc/rpctypes", api + "v3rpc/rpctypes", ""},
			move{root + "mvcc/mvccpb", api + "mvccpb", ""},
			move{root + "auth/authpb", api + "authpb", ""},
		)
	}
	return list
}

// translate returns the new path of an import, "" if it stays, and the reason why it needs a look.
func translate(old string) (to, why string) {
	for _, m := range moved {
		rest, ok := strings.CutPrefix(old, m.from)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if m.to == "" {
			return "", m.why
		}
		return m.to + rest, m.why
	}
	return "", ""
}

// packageName returns the name of a package whose import gives none.
func packageName(p string) string { return path.Base(p) }

// oldName does the same for the old paths, some of which end with a version.
func oldName(p string) string {
	switch b := path.Base(p); b {
	case "v3":
		return "clientv3"
	case "v2":
		return path.Base(path.Dir(p))
	default:
		return b
	}
}
