package services

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/agent"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/nameserver"
)

const dnsHelp = `Answer DNS queries about services, over UDP and TCP, until interrupted:

  SERVICE.DOMAIN           all instances that are not draining
  VERSION.SERVICE.DOMAIN   those of a version
  ZONE.SERVICE.DOMAIN      those in a zone
  TAG.SERVICE.DOMAIN       those with a tag
  _SERVICE._tcp.DOMAIN     SRV of all

A and AAAA are addresses; SRV has ports, weights and targets that resolve; TXT has id, version,
zone, tags and metadata. Instances whose address is a host name are in SRV and TXT; if a service has
no others, the answer is a CNAME of one of the names. PTR is answered for the addresses of followed
services. Nothing is forwarded.

Case does not matter: a label stands for the service in lower case. Other names are written as x--,
and each byte that is not a-z or 0-9 as - and two hexadecimal digits: OrderService is
x---4frder-53ervice.

A service is followed from the first query until nobody has asked for five minutes. While etcd is
away, answers are the last known instances; with --files also after a restart. "fairlead agent" does
this and more.

An instance that drains waits until no client may use an old answer any more. For this the command
keeps a key for each service under /fairlead/watchers/; a user who may not write there does without.

Anybody who can send queries can make the command read any service. With --records raw, naming or
gozero and no --base that is any prefix in etcd that ends in /, though only instances are ever
shown.`

type dnsFlags struct {
	records recordFlags
	listen  string
	allow   []string
	options nameserver.Options
}

func dnsCommand(a *command.App) *cobra.Command {
	var f dnsFlags
	var files string
	c := &cobra.Command{
		Use:   "dns",
		Short: "Answer DNS queries about services",
		Example: "  fairlead dns --listen 127.0.0.1:5353 --domain fairlead.internal\n  dig @127.0.0.1 -p 5353 " +
			"payments.fairlead.internal SRV",
		Long: dnsHelp,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, base, err := f.records.records()
			if err != nil {
				return err
			}
			if err := f.allowed(); err != nil {
				return command.Usage(err)
			}
			if err := agent.CheckDNS(f.listen, f.options.Allow); err != nil {
				return command.Usage(fmt.Errorf("--listen: %w", err))
			}
			o := agent.Options{
				Format:  format,
				Base:    base,
				Name:    "fairlead dns",
				Files:   files,
				DNS:     f.listen,
				Answers: f.options,
				Say:     sayer(a),
			}
			if err := o.Check(); err != nil {
				return command.Usage(err)
			}
			// etcd may be away: the first query is what reads from it.
			return a.Serve(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := serveAgent(ctx, a, c, o); err != nil {
					return err
				}
				return context.Cause(ctx)
			})
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.listen, "listen", "127.0.0.1:5353", "where to listen, HOST:PORT; all addresses without a host")
	fs.StringVar(
		&files,
		"files",
		"",
		"directory for the last known instances, to answer from if etcd is away at the start",
	)
	f.register(fs)
	return c
}

// register adds the flags that dns and agent share.
func (f *dnsFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(
		&f.allow,
		"allow",
		nil,
		"networks that may send DNS queries, such as 10.0.0.0/8, besides this machine; needed if others can reach it",
	)
	fs.StringVar(&f.options.Domain, "domain", nameserver.DefaultDomain, "the domain of all names of services")
	fs.DurationVar(
		&f.options.TTL,
		"ttl",
		nameserver.DefaultTTL,
		fmt.Sprintf("how long clients may use an answer, in whole seconds up to %v", time.Hour),
	)
	fs.IntVar(&f.options.Services, "max-services", nameserver.DefaultServices, "how many services to follow at once")
	f.records.register(fs)
}

// allowed parses the networks.
func (f *dnsFlags) allowed() error {
	for _, text := range f.allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--allow: %w", err)
		}
		f.options.Allow = append(f.options.Allow, p.Masked())
	}
	return nil
}
