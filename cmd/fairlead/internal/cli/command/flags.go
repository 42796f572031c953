package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// The defaults are etcdctl's.
const (
	defaultEndpoint         = "127.0.0.1:2379"
	defaultDialTimeout      = 2 * time.Second
	defaultCommandTimeout   = 5 * time.Second
	defaultKeepAliveTime    = 2 * time.Second
	defaultKeepAliveTimeout = 6 * time.Second
)

// ConnFlags are the global flags about the connection.
type ConnFlags struct {
	Endpoints          []string
	dialTimeout        time.Duration
	CommandTimeout     time.Duration
	keepAliveTime      time.Duration
	keepAliveTimeout   time.Duration
	InsecureTransport  bool
	InsecureSkipVerify bool
	Cacert, Cert, Key  string
	User, Password     string
	Token              string
	maxRequestBytes    int
	maxRecvBytes       int
	failFast           bool
	Debug              bool
	DiscoverySRV       string
	discoveryName      string
	insecureDiscovery  bool
}

// Register adds the flags.
func (f *ConnFlags) Register(fs *pflag.FlagSet) {
	fs.StringSliceVar(
		&f.Endpoints,
		"endpoints",
		[]string{defaultEndpoint},
		"addresses of the cluster's members, separated by commas",
	)
	fs.DurationVar(&f.dialTimeout, "dial-timeout", defaultDialTimeout, "how long a first connection may take")
	fs.DurationVar(&f.CommandTimeout, "command-timeout", defaultCommandTimeout, "how long a short command may take")
	fs.DurationVar(
		&f.keepAliveTime,
		"keepalive-time",
		defaultKeepAliveTime,
		"how long a connection may be idle before it is checked",
	)
	fs.DurationVar(&f.keepAliveTimeout, "keepalive-timeout", defaultKeepAliveTimeout, "how long such a check may take")
	fs.BoolVar(
		&f.InsecureTransport,
		"insecure-transport",
		true,
		"use no TLS, unless certificates or an https:// endpoint ask for it",
	)
	fs.BoolVar(
		&f.InsecureSkipVerify,
		"insecure-skip-tls-verify",
		false,
		"do not check the server's certificate (for tests only)",
	)
	fs.StringVar(&f.Cacert, "cacert", "", "file with the certificate authority that signed the servers' certificates")
	fs.StringVar(&f.Cert, "cert", "", "file with the client's certificate")
	fs.StringVar(&f.Key, "key", "", "file with the client's private key")
	fs.StringVar(&f.User, "user", "", "name[:password]; asks for the password if none is given")
	fs.StringVar(&f.Password, "password", "", "the user's password (then --user is the name alone)")
	fs.StringVar(&f.Token, "auth-jwt-token", "", "token instead of a user and password")
	fs.IntVar(&f.maxRequestBytes, "max-request-bytes", 0, "largest request sent (0: 2 MiB)")
	fs.IntVar(&f.maxRecvBytes, "max-recv-bytes", 0, "largest answer accepted (0: no limit)")
	fs.StringVarP(&f.DiscoverySRV, "discovery-srv", "d", "", "domain whose SRV records name the endpoints")
	fs.StringVar(&f.discoveryName, "discovery-srv-name", "", "suffix of the service's name in these records")
	fs.BoolVar(&f.insecureDiscovery, "insecure-discovery", true, "accept endpoints without TLS from these records too")
	fs.BoolVar(
		&f.failFast,
		"fail-fast",
		false,
		"fail at once if no endpoint can be reached, instead of waiting for the timeouts",
	)
	fs.BoolVar(&f.Debug, "debug", false, "log what the client does to standard error")
}

// outFlags are the global flags about the output.
type outFlags struct {
	Format format
	hex    bool
}

func (f *outFlags) Register(fs *pflag.FlagSet) {
	fs.VarP(&f.Format, "output", "o", "output format: simple, json, fields, table, protobuf or yaml")
	fs.VarP(&f.Format, "write-out", "w", "the same under etcdctl's name")
	fs.BoolVar(&f.hex, "hex", false, "print keys and values as \\x and two digits per byte")
}

// ApplyEnvironment sets the global flags that are not in the command line from ETCDCTL_ variables.
// Variables of other tools' flags (such as ETCDCTL_API) are ignored.
func (a *App) ApplyEnvironment(fs *pflag.FlagSet) error {
	if fs.Changed("output") && fs.Changed("write-out") {
		return UsageError{errors.New("--output and --write-out are the same flag: give one of them")}
	}
	var first error
	fs.VisitAll(func(f *pflag.Flag) {
		if first != nil || f.Changed || !a.isGlobal(f) {
			return
		}
		if f.Name == "write-out" && fs.Changed("output") || f.Name == "output" && fs.Changed("write-out") {
			return
		}
		name := "ETCDCTL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := a.Env.LookupEnv(name)
		if !ok || value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			first = UsageError{fmt.Errorf("environment variable %s=%q: %w", name, value, err)}
		}
	})
	return first
}

// isGlobal keeps variables like ETCDCTL_LIMIT from setting a command's own flags.
func (a *App) isGlobal(f *pflag.Flag) bool {
	var globals pflag.FlagSet
	var conn ConnFlags
	var out outFlags
	conn.Register(&globals)
	out.Register(&globals)
	return globals.Lookup(f.Name) != nil
}
