// Package etcd is kratos' registry of that name: [New] returns a [Registry] for kratos.Registrar
// and WithDiscovery. Programs that used github.com/go-kratos/kratos/contrib/registry/etcd/v2
// change the import and go on with the same records. Processes of both kinds see each other.
//
// In addition:
//
//   - A record is there as long as its process is alive: it is put again after a lost lease, an
//     outage, a wiped or restored etcd, or when somebody deleted it.
//   - Watchers go on with what they know while etcd is away. They hold the instances that a wiped or
//     restored etcd does not have, for as long as the owners need to come back.
//   - The operators' settings apply to kratos too: an instance that "fairlead svc drain" or
//     "maintenance" takes out is in no list, and "svc weight" sets its weight. Splits do not apply:
//     kratos' selectors choose by themselves.
package etcd
