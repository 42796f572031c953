package etcdtest

import (
	"context"
	"strings"
	"testing"
)

// Proxy runs etcd's own gRPC proxy, of the cluster's version, in front of a cluster. It returns the
// proxy's endpoint, "127.0.0.1:port", which has no TLS even if the cluster has. The proxy ends with
// the test.
//
// The proxy is not transparent: it merges watches, assigns its own watch ids and forwards no
// progress requests.
func Proxy(t testing.TB, c *Cluster) (endpoint string) {
	t.Helper()
	ports, err := holdPorts(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range ports {
			p.Release()
		}
	})
	metrics := "http://" + ports[1].Addr()
	args := []string{
		"grpc-proxy", "start",
		"--endpoints=" + strings.Join(c.Endpoints(), ","),
		"--listen-addr=" + ports[0].Addr(),
		"--advertise-client-url=" + ports[0].Addr(),
		"--metrics-addr=" + metrics,
		"--data-dir=" + c.path("proxy-"+strings.ReplaceAll(ports[0].Addr(), ":", "-")),
	}
	if tls := c.opts.TLS; tls != nil {
		// The proxy refuses a certificate with a common name: all its clients would act as that
		// user.
		cert, key := tls.Issue(t, "grpc-proxy", Certificate{})
		args = append(args, "--cacert="+tls.CAFile, "--cert="+cert, "--key="+key)
	}
	logFile := c.path("proxy.log")
	p, err := c.spawn.run(c.binary, args, environment(), c.dir, logFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	err = poll(ctx, func(ctx context.Context) error {
		if !p.alive() {
			return &exitedError{p.err}
		}
		return getHealth(ctx, metrics)
	})
	if err != nil {
		t.Fatalf("etcdtest: the gRPC proxy is not ready: %v\n%s", err, logTail(logFile))
	}
	return ports[0].Addr()
}
