package etcdtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Proxy runs etcd's own gRPC proxy in front of a cluster, of the cluster's version, and returns its endpoint ("127.0.0.1:port", without TLS also in front of a
// cluster that has it). It ends with the test.
//
// The proxy is not a transparent one: it merges watches, assigns its own watch ids and forwards no progress requests.
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
		args = append(args, "--cacert="+tls.CAFile, "--cert="+tls.ClientCertFile, "--key="+tls.ClientKeyFile)
	}
	logFile := c.path("proxy.log")
	p, err := c.spawn.run(c.binary, args, environment(), logFile)
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
		text, _ := os.ReadFile(logFile)
		t.Fatal(fmt.Errorf("etcdtest: the gRPC proxy is not ready: %w\n%s", err, text))
	}
	return ports[0].Addr()
}
