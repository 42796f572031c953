package services

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

// recordFlags choose how services are stored.
type recordFlags struct{ format, base string }

func (f *recordFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(
		&f.format,
		"records",
		"json",
		"how services are stored: json (our own), raw (go-kit), naming (etcd's), kratos, gozero (only read)",
	)
	fs.StringVar(&f.base, "base", "", "what their keys begin with (default: that of the format)")
}

// records returns the chosen format and the prefix of its keys.
func (f *recordFlags) records() (discovery.Format, string, error) {
	format, prefix, err := discovery.NamedFormat(f.format, f.base)
	if err != nil {
		return nil, "", command.Usage(
			fmt.Errorf("no records %q: have %s", f.format, strings.Join(discovery.FormatNames(), ", ")),
		)
	}
	return format, prefix, nil
}

// writable returns an error if the format cannot hold an instance.
func writable(format discovery.Format, in *discovery.Instance) error {
	if _, err := format.Marshal(in); err != nil {
		return command.Usage(fmt.Errorf("--records: %w", err))
	}
	return nil
}

// instanceFlags describe an instance.
type instanceFlags struct {
	in   discovery.Instance
	meta []string
	ttl  int64
}

func (f *instanceFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.in.ID, "id", "", "the instance's id (default: host name and first address)")
	fs.StringSliceVar(
		&f.in.Addresses,
		"addr",
		nil,
		"its address, HOST:PORT or a URL; :PORT is on this machine's address; may be given more than once",
	)
	fs.StringVar(&f.in.Version, "version", "", "its version")
	fs.StringVar(&f.in.Zone, "zone", "", "its zone")
	fs.IntVar(
		&f.in.Weight,
		"weight",
		0,
		fmt.Sprintf("its share of the work, 1 to %d (default %d)", discovery.MaxWeight, discovery.DefaultWeight),
	)
	fs.StringSliceVar(&f.in.Tags, "tag", nil, "a tag; may be given more than once")
	fs.StringArrayVar(&f.meta, "meta", nil, "KEY=VALUE of its metadata; may be given more than once")
	fs.Int64Var(&f.ttl, "ttl", discovery.DefaultTTL, "seconds that the record stays after this process has died")
}

// instance returns the instance that the flags describe.
func (f *instanceFlags) instance(service string) (discovery.Instance, error) {
	in := f.in
	in.Service = service
	if len(in.Addresses) == 0 {
		return in, command.Usage(errors.New("--addr is needed: the address of the instance"))
	}
	for i, a := range in.Addresses {
		if strings.HasPrefix(a, ":") {
			in.Addresses[i] = net.JoinHostPort(ownAddress(), a[1:])
		}
	}
	if in.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			return in, err
		}
		in.ID = host + "-" + in.Addresses[0]
	}
	for _, m := range f.meta {
		k, v, ok := strings.Cut(m, "=")
		if !ok || k == "" {
			return in, command.Usage(fmt.Errorf("--meta %q is not KEY=VALUE", m))
		}
		if in.Metadata == nil {
			in.Metadata = make(map[string]string)
		}
		in.Metadata[k] = v
	}
	if f.ttl <= 0 {
		return in, command.Usage(fmt.Errorf("--ttl %d: a time to live is positive", f.ttl))
	}
	if err := in.Validate(); err != nil {
		return in, command.Usage(err)
	}
	return in, nil
}

// ownAddress returns this machine's first address that others may reach, or else that of loopback.
func ownAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

func svcCommand(a *command.App) *cobra.Command {
	var f recordFlags
	c := a.Family(
		"svc",
		"Register, find and drain services",
		svcRegisterCommand(
			a,
			&f,
		),
		svcListCommand(a, &f),
		svcGetCommand(a, &f),
		svcWatchCommand(a, &f),
		svcDrainCommand(a, &f),
		svcUndrainCommand(a, &f),
		svcMaintenanceCommand(
			a,
		),
		svcWeightCommand(a),
		svcSplitCommand(a, &f),
		svcLimitCommand(a),
		svcRemoveCommand(a, &f),
	)
	f.register(c.PersistentFlags())
	return c
}

// twoArgs accepts the arguments of commands about one instance.
func twoArgs(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return command.Usage(fmt.Errorf("%s needs a service and the id of an instance", cmd.CommandPath()))
	}
	return nil
}

// address returns an instance's addresses for one line.
func address(in *discovery.Instance) string { return strings.Join(in.Addresses, ",") }

// state returns an instance's state in a word.
func state(in *discovery.Instance) string {
	if in.IsDraining() {
		return string(discovery.Draining)
	}
	return string(discovery.Up)
}
