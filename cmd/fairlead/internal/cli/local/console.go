package local

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/hosts"
	"github.com/fairlead-go/fairlead/console"
)

const (
	// ConsoleAddress is near etcd's own ports, and not a port that other programs commonly use.
	ConsoleAddress = "127.0.0.1:2389"
	// consoleGrace is how long requests may take to end when the command ends.
	consoleGrace = 3 * time.Second
	// leastToken is how many bytes a token has at least: it cannot be guessed at the rate that the
	// console allows.
	leastToken = 16
)

type consoleFlags struct {
	listen    string
	cert, key string
	token     string
	tokenFile string
	login     bool
	readOnly  bool
	hosts     []string
	name      string
	auditFile string
	history   string
	made      bool // the token is not the user's, but made by this command
	// elsewhere: a free port may replace one that is in use.
	elsewhere bool
}

func consoleCommand(a *command.App) *cobra.Command {
	var f consoleFlags
	c := &cobra.Command{
		Use:   "console",
		Short: "Serve the web console",
		Example: "  fairlead console --read-only\n  fairlead console --listen :2389 --host etcd.example.com --login " +
			"--tls-cert console.pem --tls-key console-key.pem",
		Long: `Serve the web console until Ctrl-C: the cluster, services, keys with their revisions, changes as
they happen, leases, locks and users. Every page shows the findings of "fairlead doctor". While a
page is open the cluster is examined every 5 s, once for all pages.

On a loopback address the command prints a URL with a token, which admits anybody who has it. Any
other address needs TLS, and a token of your choice or --login: then users of etcd sign in with
their passwords, and may do what etcd permits them.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.elsewhere = !cmd.Flags().Changed("listen")
			return a.Serve(cmd.Context(), func(ctx context.Context, client *clientv3.Client) error {
				cfg, err := a.Config(ctx)
				if err != nil {
					return err
				}
				s, err := f.start(client, cfg)
				if err != nil {
					return err
				}
				defer s.stop()
				fmt.Fprintf(a.Env.Stdout, "%s\n\nCtrl-C ends it.\n", s.url)
				select {
				case err := <-s.failed:
					return err
				case <-ctx.Done():
					return nil
				}
			})
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.listen, "listen", ConsoleAddress, "where to listen")
	fs.StringVar(&f.cert, "tls-cert", "", "file with the console's certificate")
	fs.StringVar(&f.key, "tls-key", "", "file with its private key")
	fs.StringVar(
		&f.token,
		"token",
		"",
		"the token that admits (on loopback a random one if none is given; others see it in the list of processes)",
	)
	fs.StringVar(&f.tokenFile, "token-file", "", "file with the token")
	fs.BoolVar(&f.login, "login", false, "admit users of etcd with their passwords")
	fs.BoolVar(&f.readOnly, "read-only", false, "change nothing")
	fs.StringVar(
		&f.name,
		"name",
		"",
		"the cluster's name, shown before every change (default: its endpoints)",
	)
	fs.StringVar(
		&f.auditFile,
		"audit-log",
		"",
		"file to which every change is appended as JSON, one line before it is made and one after",
	)
	fs.StringVar(
		&f.history,
		"history",
		"",
		"file that keeps the overview's last hour and day over a restart of the console",
	)
	fs.StringSliceVar(
		&f.hosts,
		"host",
		nil,
		"another name of the console; may be given more than once",
	)
	return c
}

// consoleServer is a running console.
type consoleServer struct {
	url     string
	console *console.Console
	audit   *auditLog // nil if there is none
	server  *http.Server
	failed  chan error
}

// start checks that not everybody is admitted, and serves.
func (f *consoleFlags) start(client *clientv3.Client, cfg clientv3.Config) (*consoleServer, error) {
	if err := f.check(); err != nil {
		return nil, command.Usage(err)
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil && f.elsewhere && errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	opts := []console.Option{
		console.WithHosts(f.hosts...),
		console.WithHosts(hosts.Of(l.Addr())...),
		console.WithMetrics(cfg.TLS),
	}
	if f.readOnly {
		opts = append(opts, console.WithReadOnly())
	}
	if f.name != "" {
		opts = append(opts, console.WithName(f.name))
	}
	log, err := openAudit(f.auditFile)
	if err != nil {
		l.Close()
		return nil, err
	}
	if log != nil {
		opts = append(opts, console.WithAudit(log.write))
	}
	if f.history != "" {
		opts = append(opts, console.WithHistory(f.history))
	}
	if f.token != "" {
		opts = append(opts, console.WithToken(f.token))
	}
	if f.login {
		opts = append(opts, console.WithLogin(console.EtcdLogin(cfg)))
	}
	c, err := console.New(client, opts...)
	if err != nil {
		l.Close()
		log.close()
		return nil, err
	}
	s := &consoleServer{audit: log, console: c, failed: make(chan error, 1), url: f.address(l.Addr())}
	// Streams have no end, so there is no limit for writing; the console sets one for each event.
	s.server = &http.Server{
		Handler:           c,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(zap.NewNop()),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
	}
	go func() {
		if f.cert != "" {
			s.failed <- s.server.ServeTLS(l, f.cert, f.key)
		} else {
			s.failed <- s.server.Serve(l)
		}
	}()
	return s, nil
}

// beside serves the console of a cluster that runs in this process.
func (f *consoleFlags) beside(ctx context.Context, endpoints []string) (line string, stop func(), err error) {
	cfg := clientv3.Config{Endpoints: endpoints, Context: context.WithoutCancel(ctx), Logger: zap.NewNop()}
	client, err := clientv3.New(cfg)
	if err != nil {
		return "", nil, err
	}
	s, err := f.start(client, cfg)
	if err != nil {
		client.Close()
		return "", nil, err
	}
	return "console  " + s.url, func() { s.stop(); client.Close() }, nil
}

func (s *consoleServer) stop() {
	_ = s.console.Close() // ends the streams
	ctx, cancel := context.WithTimeout(context.Background(), consoleGrace)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
	s.audit.close()
}

// check refuses options that would admit everybody, and makes a token if one is enough.
func (f *consoleFlags) check() error {
	if (f.cert == "") != (f.key == "") {
		return errors.New("--tls-cert and --tls-key belong together: give both or neither")
	}
	if f.cert != "" {
		if _, err := tls.LoadX509KeyPair(f.cert, f.key); err != nil {
			return fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
	}
	if f.tokenFile != "" {
		if f.token != "" {
			return errors.New("--token and --token-file exclude each other")
		}
		text, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		if f.token = strings.TrimSpace(string(text)); f.token == "" {
			return errors.New("--token-file: the file is empty")
		}
	}
	if f.token != "" && len(f.token) < leastToken {
		return fmt.Errorf("a token needs %d bytes or more", leastToken)
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if !isLoopback(host) {
		if f.cert == "" {
			return fmt.Errorf(
				"--listen %s can be reached by others, so it needs TLS: give --tls-cert and --tls-key, or listen on "+
					"127.0.0.1",
				f.listen,
			)
		}
		if f.token == "" && !f.login {
			return fmt.Errorf(
				"--listen %s can be reached by others, so they must prove who they are: give --login, --token or "+
					"--token-file, or listen on 127.0.0.1",
				f.listen,
			)
		}
	}
	if f.token == "" && !f.login {
		raw := make([]byte, leastToken)
		_, _ = rand.Read(raw) // never fails
		f.token, f.made = hex.EncodeToString(raw), true
	}
	return nil
}

// isLoopback reports whether only this machine reaches a host. A name is judged as it is, not
// resolved.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// address returns the URL to print. It leaves out the user's own token, which must not get into
// logs, but has a made one, which only this line shows.
func (f *consoleFlags) address(at net.Addr) string {
	scheme := "http"
	if f.cert != "" {
		scheme = "https"
	}
	host, _, _ := net.SplitHostPort(f.listen)
	_, port, _ := net.SplitHostPort(at.String())
	switch {
	case len(f.hosts) > 0:
		host = f.hosts[0]
	case host == "" || net.ParseIP(host).IsUnspecified():
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: "/"}
	if f.made {
		u.RawQuery = url.Values{"token": {f.token}}.Encode()
	}
	return u.String()
}
