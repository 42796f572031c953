// Package endpoints keeps the addresses of services in etcd: a Manager adds, removes,
// lists and watches the endpoints of one target. It has the API and the stored format of
// the official package of this name. Package resolver of this module feeds gRPC with them.
//
// A target is the first part of the keys; each endpoint is one key below it:
//
//	em, err := endpoints.NewManager(cli, "orders")
//	err = em.AddEndpoint(ctx, "orders/10.0.0.1:8080",
//		endpoints.Endpoint{Addr: "10.0.0.1:8080"}, clientv3.WithLease(lease))
//
// stores `orders/10.0.0.1:8080` with the value
// {"Op":0,"Addr":"10.0.0.1:8080","Metadata":null}. The part after the target and a slash
// may be anything. Targets are not nested: "orders" also has what belongs to "orders/eu".
//
// Keys under a target whose value is not such a record, or a record with neither an address nor
// metadata, are left out everywhere and noted in the client's log. When such a value overwrites a
// record, the record counts as deleted.
//
// All of it is safe for concurrent use.
package endpoints
