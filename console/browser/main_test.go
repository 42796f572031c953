package browser

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const secret = "the token of the tests"

var (
	chrome  context.Context   // the browser; each test has a profile of its own in it
	cluster *etcdtest.Cluster // three members, for all tests that need no cluster of their own
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := os.Stat(path); err != nil {
		fmt.Fprintf(
			os.Stderr,
			"these tests need Chromium (on Debian: apt-get install chromium) at /usr/bin/chromium or where $CHROMIUM "+
				"says: %v\n",
			err,
		)
		return 1
	}
	if err := os.MkdirAll("out", 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	profile, err := os.MkdirTemp("", "fairlead-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(profile)
	flags := append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(
			path,
		),
		chromedp.UserDataDir(profile),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag(
			"disable-quic",
			true,
		),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("lang", "en-US"),
		chromedp.Flag("hide-scrollbars", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	defer stop()
	var end context.CancelFunc
	chrome, end = chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(chrome); err != nil {
		fmt.Fprintln(os.Stderr, "start the browser:", err)
		return 1
	}
	if cluster, err = etcdtest.StartMain(etcdtest.Options{Members: 3}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer cluster.Stop()
	return m.Run()
}

// serve starts a console of a cluster and returns its address and a client.
func serve(t *testing.T, c *etcdtest.Cluster, opts ...console.Option) (url string, client *clientv3.Client) {
	t.Helper()
	client = clienttest.Dial(t, c.Endpoints()...)
	return consoleOf(t, client, append([]console.Option{console.WithToken(secret)}, opts...)...), client
}

// withLogin is the address of a console on a cluster, whose users log in to it.
func withLogin(t *testing.T, own *etcdtest.Cluster, client *clientv3.Client) (url string) {
	t.Helper()
	return consoleOf(t, client,
		console.WithLogin(console.EtcdLogin(clientv3.Config{Endpoints: own.Endpoints(), Logger: client.GetLogger()})))
}

func consoleOf(t *testing.T, client *clientv3.Client, opts ...console.Option) (url string) {
	t.Helper()
	con, err := console.New(client, opts...)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(con)
	t.Cleanup(func() { con.Close(); s.Close() })
	return s.URL
}
