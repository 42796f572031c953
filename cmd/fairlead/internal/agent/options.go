package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/nameserver"
	"github.com/fairlead-go/fairlead/discovery"
)

// Options say what an agent does. What is empty is switched off.
type Options struct {
	Format discovery.Format // how records are stored
	Base   string           // what their keys begin with
	Files  string           // directory of what survives a restart: last known instances, registrations

	DNS     string // HOST:PORT
	Answers nameserver.Options

	HTTP      string // HOST:PORT
	Cert, Key string // files, for TLS
	Hosts     []string
	TokenFile string
	Socket    string // path of a unix socket, whose users may write

	// Say tells people what goes wrong, a line each.
	Say func(string)
}

// Check says what is wrong with the options, before anything is done.
func (o *Options) Check() error {
	if o.DNS == "" && o.HTTP == "" && o.Socket == "" {
		return errors.New("nothing is switched on: give --dns, --http or --socket")
	}
	if o.DNS != "" {
		if err := CheckDNS(o.DNS, o.Answers.Allow); err != nil {
			return fmt.Errorf("--dns: %w", err)
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
	switch {
	case err != nil:
		return fmt.Errorf("--http: %w", err)
	case local:
	case o.Cert == "":
		return fmt.Errorf("--http %s can be reached by others, so it needs TLS: give --http-cert and --http-key, or listen on 127.0.0.1", o.HTTP)
	case o.TokenFile == "":
		return fmt.Errorf("--http %s can be reached by others, so they must prove who they are: give --tokens, or listen on 127.0.0.1", o.HTTP)
	}
	return nil
}

// CheckDNS says whether DNS may be answered there: on loopback, or for networks that are named.
func CheckDNS(address string, allow []netip.Prefix) error {
	local, err := onLoopback(address)
	if err == nil && !local && len(allow) == 0 {
		err = fmt.Errorf("%s can be reached by others: give --allow with the networks that may ask, or listen on 127.0.0.1", address)
	}
	return err
}

// onLoopback reports that only this machine reaches an address. A name is looked at, not resolved.
func onLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}
