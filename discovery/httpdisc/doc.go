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
// A policy of package pick chooses it, P2C unless [WithPolicy] says otherwise; options of that
// package (zone, subset, warm-up, ejection, waiting) are given [WithPicking]. A request goes
// to the address that fits: one with the scheme of the request's URL if there is one, else
// one without a scheme, else, for http, one with https. An https request never goes out as
// http. Paths in addresses are not looked at.
//
// If operators split the calls to a service ([discovery.Split]), requests follow the split, and its
// changes, at once; [Transport.Split] shows it. Requests whose context has the same key
// ([pick.WithKey]) go to the same subset. [WithFilterHeader] lets a request choose.
//
// A request counts as failed, for ejection, if there was no answer, or its status is 502,
// 503 or 504. One whose own time was up (its context's, http.Client.Timeout) counts only if that
// was several times what the instance takes, and what such requests take, which are those with the
// same first part of the path: a slow one that nobody has answered yet blames no instance. Its
// time, and latency, is from when the request's body had been read to its end to the header of the
// answer: one that its caller still sends, or the network still takes, blames nobody, unless
// nothing was taken of it for 3 s. A request occupies its instance until the body of its answer is
// read to the end or closed.
//
// # Retries
//
// A request that failed is repeated on another instance, [DefaultAttempts] times in all,
// if that can do no harm: its method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT, DELETE,
// or any with an Idempotency-Key header) or no connection was made; and its body can be sent
// again (there is none, or Request.GetBody is set, as http.NewRequest does for buffers and
// strings). When there is no other instance, or the budget for retries is spent (one for
// five requests, after a burst of 1000, per transport), the answer or error stands.
// Nothing is repeated after the request's context has ended. [WithAttemptTimeout] has a request
// go on elsewhere when an instance stands still, [WithHedging] asks a second one beside a slow one
// (one request for twenty, after a burst of 100); both only for idempotent requests with such a
// body.
//
// # Host and TLS
//
// The server sees the Host header that it would see without this package: Request.Host
// if set, else the host of the URL, that is the service's name. With https the
// certificate has to be for the service's name, whatever the address: what is in the URL
// is what is verified. [WithTransport] replaces all that, and the usual settings: no HTTP
// proxy, 64 idle connections kept per instance, else as http.DefaultTransport.
//
// # Errors
//
// While the service has no instance to call, errors are pick.ErrNoInstances for errors.Is, at
// once, except that the first request waits for etcd's first answer, for 3 s at most. Later
// outages of etcd have no effect: the last known instances stay. The error of a request that was
// tried on several instances says what became of each.
//
// # Concurrency
//
// A Transport is safe for concurrent use and has a watch for each service that it was used
// for in the last ten minutes or so.
package httpdisc
