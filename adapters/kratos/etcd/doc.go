// Package etcd is kratos' registry of that name: [New] returns what kratos.Registrar and
// WithDiscovery take. Programs that used github.com/go-kratos/kratos/contrib/registry/etcd/v2
// change the import, and go on with the same records; processes of both kinds see each other.
//
// What it does beside that:
//
//   - A record is there as long as its process lives: it is put again after a lost lease, an
//     outage, a wiped or restored etcd, or when somebody deleted it.
//   - Watchers go on with what they know while etcd is away, and hold what an etcd that was wiped
//     or restored does not have for as long as its owners need to come back.
//   - What operators say holds for kratos too: an instance that "fairlead svc drain" or
//     "maintenance" takes out is in no list, and "svc weight" is its weight. Splits are not:
//     kratos' selectors choose by themselves.
package etcd
