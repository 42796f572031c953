package services

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/agent"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

const agentHelp = `Serve the services registered in etcd to programs of every language on a host, until SIGTERM or
Ctrl-C:

  --dns ADDR       answer DNS queries, as "fairlead dns" does
  --http ADDR      serve the HTTP API, metrics at /metrics and health at /healthz
  --socket PATH    serve the same on a unix socket, which only this user can use
  --xds ADDR       serve xDS: programs with gRPC find services as xds:///SERVICE, without a proxy; so does Envoy
  --prometheus FILE    write targets for Prometheus' file_sd_configs; its http_sd_configs takes /v1/prometheus?service=NAME

The HTTP API registers instances, lists, picks and follows them; /openapi.json describes it. With
curl:

  curl --unix-socket PATH -X PUT --json '{"addresses":["10.0.0.7:8080"],"ttl":30}' localhost/v1/services/orders/instances/orders-1
  curl --unix-socket PATH -X POST localhost/v1/services/orders/instances/orders-1/renew
  curl -X POST ... /drain      no new work for it; answers once all followers know, or after ?limit=SECONDS
  curl localhost:2390/v1/services/orders/pick
  curl -N localhost:2390/v1/services/orders/events

An instance that is not renewed within its ttl is removed. While etcd is away, answers are the last
known ones: "stale" and "age" say so. With --files these answers and the registrations survive a
restart of the agent, if that takes no longer than the ttl of an instance. Each agent needs a
directory of its own.

On loopback anybody may read. Writing takes the socket, or a token from the file --tokens. That file
has mode 0600 and a line for each token: the token, and the services that it may write. The name of
a service may end with a *:

  5f0c3a7e9b1d2c4f6a8e orders billing-*

Send the token as "Authorization: Bearer TOKEN". A token without services may read. On an address
that others reach, HTTP needs TLS and a token for every request, xDS needs TLS with certificates of
clients too, and DNS needs the networks that may ask. The files with tokens and certificates are
read again when they change.

Under systemd use Type=notify. When the agent ends, it finishes the requests under way, for 10 s at
most.`

// sayer returns a function that prints lines from any goroutine.
func sayer(a *command.App) func(string) {
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(a.Env.Stderr, line)
	}
}

// serveAgent runs an agent until ctx ends.
func serveAgent(ctx context.Context, a *command.App, c *clientv3.Client, o agent.Options) error {
	frugal(a)
	g, err := agent.Listen(c, o)
	if err != nil {
		return err
	}
	for _, line := range g.Where() {
		o.Say(line)
	}
	dropStart()
	if err := g.Serve(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// collectAt is GOGC for the agent: it runs on every host, keeps much memory for long and makes
// little garbage.
const collectAt = 30

// frugal saves memory, unless the environment sets GOGC.
func frugal(a *command.App) {
	if _, ok := a.Env.LookupEnv("GOGC"); !ok {
		debug.SetGCPercent(collectAt)
	}
}

func agentCommand(a *command.App) *cobra.Command {
	var f dnsFlags
	var o agent.Options
	c := &cobra.Command{
		Use:   "agent",
		Short: "Serve DNS, an HTTP API and xDS about services to this host",
		Example: "  fairlead agent --dns 127.0.0.1:5353 --http 127.0.0.1:2390 --socket /run/fairlead.sock --files " +
			"/var/lib/fairlead",
		Long: agentHelp,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, base, err := f.records.records()
			if err != nil {
				return err
			}
			if err := f.allowed(); err != nil {
				return command.Usage(err)
			}
			o.Format, o.Base, o.Answers, o.Say = format, base, f.options, sayer(a)
			if err := o.Check(); err != nil {
				return command.Usage(err)
			}
			ctx := cmd.Context()
			// The client outlives the signal: requests under way need it.
			return a.Serve(context.WithoutCancel(ctx), func(_ context.Context, c *clientv3.Client) error {
				return serveAgent(ctx, a, c, o) // a signal that ends a service is not a failure
			})
		},
	}
	fs := c.Flags()
	fs.StringVar(&o.DNS, "dns", "", "where to answer DNS queries, HOST:PORT")
	fs.StringVar(&o.HTTP, "http", "", "where to serve HTTP, HOST:PORT")
	fs.StringVar(&o.Socket, "socket", "", "path of a unix socket to serve HTTP on")
	fs.StringVar(&o.PrometheusFile, "prometheus", "", "file to write for Prometheus' file_sd_configs")
	fs.StringSliceVar(
		&o.PrometheusServices,
		"prometheus-service",
		nil,
		"a service to list, or the beginning of names with a * at the end (default: all); may be given more than once",
	)
	fs.StringVar(&o.XDS, "xds", "", "where to serve xDS, HOST:PORT")
	fs.StringSliceVar(
		&o.XDSServices,
		"xds-service",
		nil,
		"a service to follow always, and to send to clients that ask for all; may be given more than once",
	)
	fs.StringVar(&o.XDSCert, "xds-cert", "", "file with the certificate for xDS")
	fs.StringVar(&o.XDSKey, "xds-key", "", "file with its private key")
	fs.StringVar(&o.XDSCAs, "xds-cacert", "", "file with the certificate authority of xDS clients")
	fs.StringVar(
		&o.Files,
		"files",
		"",
		"directory for what survives a restart: the last known instances, and registrations",
	)
	fs.StringVar(&o.TokenFile, "tokens", "", "file with tokens and the services that each may write")
	fs.StringVar(&o.Cert, "http-cert", "", "file with the certificate for HTTP")
	fs.StringVar(&o.Key, "http-key", "", "file with its private key")
	fs.StringSliceVar(&o.Hosts, "host", nil, "another name of the HTTP server; may be given more than once")
	f.register(fs)
	return c
}
