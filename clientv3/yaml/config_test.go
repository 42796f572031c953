package yaml_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/yaml"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFields(t *testing.T) {
	cfg, err := yaml.NewConfig(write(t, `
endpoints: [a:1, "b:2"]
auto-sync-interval: 1000000000
dial-timeout: 2000000000
dial-keep-alive-time: 3000000000
dial-keep-alive-timeout: 4000000000
username: u
password: p
reject-old-cluster: true
permit-without-stream: true
max-unary-retries: 5
backoff-wait-between: 6000000
backoff-jitter-fraction: 0.5
MaxCallSendMsgSize: 7
fail-fast: true
insecure-transport: true
something-else: is ignored
`))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cfg.Endpoints, []string{"a:1", "b:2"}) || cfg.AutoSyncInterval != time.Second ||
		cfg.DialTimeout != 2*time.Second ||
		cfg.DialKeepAliveTime != 3*time.Second || cfg.DialKeepAliveTimeout != 4*time.Second || cfg.Username != "u" ||
		cfg.Password != "p" ||
		!cfg.RejectOldCluster || !cfg.PermitWithoutStream || cfg.MaxUnaryRetries != 5 ||
		cfg.BackoffWaitBetween != 6*time.Millisecond ||
		cfg.BackoffJitterFraction != 0.5 || cfg.MaxCallSendMsgSize != 7 || !cfg.FailFast ||
		cfg.TLS != nil {
		t.Errorf("%+v", cfg)
	}
}

// TestTLS connects with configurations of files, to a server that demands client certificates.
func TestTLS(t *testing.T) {
	authority, stranger := etcdtest.NewTLS(t), etcdtest.NewTLS(t)
	server := etcdtest.Start(t, etcdtest.Options{TLS: authority, ClientCertAuth: true})
	text := func(ca string, more ...string) string {
		return fmt.Sprintf("endpoints: [%s]\ntrusted-ca-file: %s\ncert-file: %s\nkey-file: %s\n%s",
			server.Endpoints()[0], ca, authority.ClientCertFile, authority.ClientKeyFile, strings.Join(more, "\n"))
	}
	for name, test := range map[string]struct {
		text  string
		works bool
	}{
		"right":                    {text(authority.CAFile), true},
		"other authority":          {text(stranger.CAFile), false},
		"other authority, ignored": {text(stranger.CAFile, "insecure-skip-tls-verify: true"), true},
		"insecure wins":            {text(authority.CAFile, "insecure-transport: true"), false},
		// The file describes TLS by the names of files only.
		"tls key": {text(stranger.CAFile, "tls: {InsecureSkipVerify: true}"), false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := yaml.NewConfig(write(t, test.text))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Logger = zap.NewNop()
			c, err := clientv3.New(*cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Get(clientv3.WithFailFast(ctxFor(t, long)), "k"); (err == nil) != test.works {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWithoutFiles(t *testing.T) {
	for _, text := range []string{"", "endpoints: [a:1]\n", "insecure-transport: false\n"} {
		cfg, err := yaml.NewConfig(write(t, text))
		if err != nil || cfg.TLS == nil || cfg.TLS.InsecureSkipVerify {
			t.Errorf("%q: %+v, %v", text, cfg, err)
		}
	}
	cfg, err := yaml.NewConfig(write(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientv3.New(*cfg); err != clientv3.ErrNoAvailableEndpoints {
		t.Errorf("a client of an empty file: %v", err)
	}
}

func TestMistakes(t *testing.T) {
	authority := etcdtest.NewTLS(t)
	for name, text := range map[string]string{
		"not YAML":           "endpoints: [",
		"a tab":              "endpoints:\n\t- a:1\n",
		"a list":             "- a\n",
		"a text":             "just words\n",
		"wrong type":         "endpoints: a:1\n",
		"duration as text":   "dial-timeout: 5s\n",
		"cert without key":   "cert-file: " + authority.ClientCertFile,
		"key without cert":   "key-file: " + authority.ClientKeyFile,
		"cert is missing":    "cert-file: /none\nkey-file: " + authority.ClientKeyFile,
		"wrong pair":         "cert-file: " + authority.ClientCertFile + "\nkey-file: " + authority.KeyFile,
		"CA is missing":      "trusted-ca-file: /none",
		"CA is no authority": "trusted-ca-file: " + authority.ClientKeyFile,
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, text)
			cfg, err := yaml.NewConfig(path)
			if err == nil || cfg != nil {
				t.Fatalf("accepted: %+v", cfg)
			}
			if !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("the error does not name the file: %v", err)
			}
			t.Log(err)
		})
	}
	if _, err := yaml.NewConfig(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzNewConfig: any file gives a configuration or an error.
func FuzzNewConfig(f *testing.F) {
	f.Add("endpoints: [a:1]\ncert-file: x\n")
	f.Add("endpoints: [")
	f.Add("? a\n: &b [*b]\n")
	f.Add("tls: {Certificates: [{}]}\nLogger: {}\nContext: 1\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "client.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if cfg, err := yaml.NewConfig(path); (cfg == nil) == (err == nil) {
			t.Errorf("%v, %v", cfg, err)
		}
	})
}
