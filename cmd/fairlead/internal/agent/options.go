package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/nameserver"
	"github.com/fairlead-go/fairlead/discovery"
)

// Options say what an agent serves. An empty option switches its part off.
type Options struct {
	Format discovery.Format // how records are stored
	Base   string           // prefix of their keys
	Name   string           // the name with which it announces itself; "fairlead agent" if empty
	Files  string           // directory of the files that survive a restart: last known instances, registrations

	DNS     string // HOST:PORT
	Answers nameserver.Options

	HTTP      string // HOST:PORT
	Cert, Key string // files, for TLS
	Hosts     []string
	TokenFile string
	Socket    string // path of a unix socket, whose users may write

	exposed bool // set by tests: loopback counts as reachable by others

	PrometheusFile     string   // written for file_sd
	PrometheusServices []string // that the file has: names, and beginnings of names that end in *; empty: all

	XDS                     string   // HOST:PORT
	XDSServices             []string // followed all the time
	XDSCert, XDSKey, XDSCAs string   // files, for TLS; clients authenticate with a certificate of XDSCAs

	// Say reports failures to people, a line each.
	Say func(string)
}

// Check returns what is wrong with the options, before anything is opened.
func (o *Options) Check() error {
	if o.DNS == "" && o.HTTP == "" && o.Socket == "" && o.PrometheusFile == "" && o.XDS == "" {
		return errors.New("nothing to do: give --dns, --http, --socket, --prometheus or --xds")
	}
	if err := o.checkXDS(); err != nil {
		return err
	}
	if err := o.checkPrometheus(); err != nil {
		return err
	}
	if o.DNS != "" {
		if err := checkDNS(o.DNS, o.Answers.Allow, o.exposed); err != nil {
			return fmt.Errorf("--dns: %w", err)
		}
		if _, err := nameserver.New(nil, o.Answers); err != nil {
			return err
		}
	}
	if (o.Cert == "") != (o.Key == "") {
		return errors.New("--http-cert and --http-key belong together: give both or neither")
	}
	if o.HTTP == "" {
		if o.Cert != "" || o.TokenFile != "" {
			return errors.New("--http-cert, --http-key and --tokens are of no use without --http")
		}
		return nil
	}
	local, err := onLoopback(o.HTTP)
	local = local && !o.exposed
	switch {
	case err != nil:
		return fmt.Errorf("--http: %w", err)
	case local:
	case o.Cert == "":
		return fmt.Errorf(
			"--http %s can be reached by others, so it needs TLS: give --http-cert and --http-key, or listen on "+
				"127.0.0.1",
			o.HTTP,
		)
	case o.TokenFile == "":
		return fmt.Errorf(
			"--http %s can be reached by others, so they must prove who they are: give --tokens, or listen on "+
				"127.0.0.1",
			o.HTTP,
		)
	}
	return nil
}

func (o *Options) checkPrometheus() error {
	if o.PrometheusFile == "" {
		if len(o.PrometheusServices) > 0 {
			return errors.New("--prometheus-service is of no use without --prometheus")
		}
		return nil
	}
	many := len(o.PrometheusServices) == 0
	for _, name := range o.PrometheusServices {
		many = many || strings.HasSuffix(name, "*")
		in := (discovery.Instance{Service: strings.TrimSuffix(name, "*"), ID: "x", Addresses: []string{"localhost:1"}})
		if name != "*" && in.Validate() != nil {
			return fmt.Errorf("--prometheus-service: %q is not a name of a service", name)
		}
	}
	if many && o.Base == "" {
		return errors.New(
			"records of this format can be anywhere, so services cannot be listed: give --base, or name them with " +
				"--prometheus-service",
		)
	}
	return nil
}

// CheckDNS returns an error unless only clients on this machine or in the named networks get
// answers.
func CheckDNS(address string, allow []netip.Prefix) error { return checkDNS(address, allow, false) }

func checkDNS(address string, allow []netip.Prefix, exposed bool) error {
	local, err := onLoopback(address)
	if err == nil && (!local || exposed) && len(allow) == 0 {
		err = fmt.Errorf(
			"%s can be reached by others: give --allow with the networks that may ask, or listen on 127.0.0.1", address)
	}
	return err
}

// onLoopback reports whether only this machine reaches an address. A name is judged as it is, not
// resolved.
func onLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}
