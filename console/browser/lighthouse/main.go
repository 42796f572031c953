// Lighthouse prints Lighthouse's scores of the console's pages: performance, accessibility and best
// practices, of 100, on a phone with a slow network and on a desktop.
//
//	make lighthouse
//
// It is a report: nothing fails because of a score. It needs Chromium and the packages that npm ci
// installs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	secret = "the token of the report"
	// limit bounds one run for one page.
	limit = 3 * time.Minute
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lighthouse:", err)
		os.Exit(1)
	}
}

func run() error {
	program, err := filepath.Abs(filepath.Join("lighthouse", "node_modules", ".bin", "lighthouse"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("it comes with npm ci, which make lighthouse runs: %w", err)
	}
	cluster, err := etcdtest.StartMain(etcdtest.Options{Members: 3})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints()})
	if err != nil {
		return err
	}
	defer client.Close()
	for i := range 200 {
		_, err := client.Put(context.Background(), fmt.Sprintf("/tenants/acme/users/%04d", i), `{"name": "Ann"}`)
		if err != nil {
			return err
		}
	}
	c, err := console.New(client, console.WithToken(secret))
	if err != nil {
		return err
	}
	server := httptest.NewServer(c)
	defer func() { c.Close(); server.Close() }()

	fmt.Printf("%-10s %-8s %12s %14s %15s\n", "page", "as", "performance", "accessibility", "best practices")
	for _, page := range []string{"overview", "services", "keys", "watch", "leases", "locks", "access", "audit"} {
		for _, as := range []string{"phone", "desktop"} {
			address := server.URL + "/?token=" + url.QueryEscape(secret) + "#/" + page
			s, err := look(program, address, as == "desktop")
			if err != nil {
				fmt.Printf("%-10s %-8s %v\n", page, as, err)
				continue
			}
			fmt.Printf(
				"%-10s %-8s %12.0f %14.0f %15.0f\n",
				page,
				as,
				s["performance"],
				s["accessibility"],
				s["best-practices"],
			)
		}
	}
	return nil
}

// look returns the scores of one page.
func look(program, address string, desktop bool) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := []string{address, "--quiet", "--output=json", "--only-categories=performance,accessibility,best-practices",
		"--chrome-flags=--headless=new --no-sandbox --disable-gpu"}
	if desktop {
		args = append(args, "--preset=desktop")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var failed strings.Builder
	cmd.Stderr = &failed
	cmd.Env = os.Environ()
	if os.Getenv("CHROME_PATH") == "" {
		path := os.Getenv("CHROMIUM")
		if path == "" {
			path = "/usr/bin/chromium"
		}
		cmd.Env = append(cmd.Env, "CHROME_PATH="+path)
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, failed.String())
	}
	var report struct {
		Categories map[string]struct{ Score *float64 }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, err
	}
	scores := map[string]float64{}
	for name, c := range report.Categories {
		if c.Score == nil {
			return nil, fmt.Errorf("there is no score for %s", name)
		}
		scores[name] = 100 * *c.Score
	}
	return scores, nil
}
