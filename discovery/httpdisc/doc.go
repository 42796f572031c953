// Package httpdisc lets HTTP clients call services by name: the host of a URL is a service
// in a discovery.Directory, and each request goes to one of its instances.
//
//	t := httpdisc.New(directory)
//	defer t.Close()
//	client := &http.Client{Transport: t}
//	resp, err := client.Get("http://orders/v1/list")
//
// # Which instance
//
// A policy of package pick chooses the instance, P2C unless [WithPolicy] sets another;
// [WithPicking] takes options of that package (zone, subset, warm-up, ejection, waiting). A request
// goes to the address that fits: one with the scheme of the request's URL if there is one, else one
// without a scheme, else, for http, one with https. An https request never goes out as http. Paths
// in addresses are ignored.
//
// If operators split the calls to a service ([discovery.Split]), requests follow the split and its
// changes at once; [Transport.Split] shows it. Requests whose contexts have the same key
// ([pick.WithKey]) go to the same subset. [WithFilterHeader] lets a request choose its instances.
//
// A request counts as failed, for ejection, if there was no answer, or its status is 502, 503 or
// 504. A request that reached its own time limit (its context's, http.Client.Timeout) counts only
// if it had several times the usual latency, both of the instance and of such requests, which are
// those with the same first part of the path: a slow kind of request that no instance has answered
// yet blames no instance. Time and latency are measured from the end of the request's body to the
// header of the answer: a request that its caller or the network is still sending blames no
// instance, unless the instance read nothing of it for 3 s. A short request that still waits after
// a second, where such requests are usually answered soon, keeps new ones away from an instance
// that answers nothing; see Silence in package pick. A request occupies its instance until the body
// of its answer is read to the end or closed.
//
// # Retries
//
// A request that failed is repeated on another instance, [DefaultAttempts] attempts in all, if that
// can do no harm: its method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT, DELETE, or any with an
// Idempotency-Key header) or no connection was made; and its body can be sent again (there is none,
// or Request.GetBody is set, as http.NewRequest does for buffers and strings). If there is no other
// instance, or the budget for retries is spent (one for five requests, after a burst of 1000, per
// transport), the caller gets the answer or error. Nothing is repeated after the request's context
// has ended. With [WithAttemptTimeout] a request continues on another instance when one is frozen.
// With [WithHedging] a request whose instance is slow is sent to a second one as well (one request
// in twenty, after a burst of 100). Both are only for idempotent requests with such a body.
//
// # Host and TLS
//
// The server gets the Host header that it would get without this package: Request.Host if set, else
// the host of the URL, which is the service's name. With https the certificate must be valid for
// the service's name, whatever the address: the name in the URL is the one that is verified.
// [WithTransport] replaces all that, and the usual settings: no HTTP proxy, 64 idle connections
// kept per instance, otherwise as http.DefaultTransport.
//
// # Errors
//
// While the service has no instance to call, requests fail at once with an error for which
// errors.Is reports pick.ErrNoInstances, except that the first request waits for etcd's first
// answer, for 3 s at most. Later outages of etcd have no effect: the last known instances stay. The
// error of a request with several attempts has the result of each.
//
// # Concurrency
//
// A Transport is safe for concurrent use and has a watch for each service that it was used
// for in the last ten minutes or so.
package httpdisc
