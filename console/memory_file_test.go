package console_test

import (
	"path/filepath"
	"testing"

	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// TestHistoryOverARestart: a restarted console shows the past of the one before, including requests
// by kind.
func TestHistoryOverARestart(t *testing.T) {
	type past struct {
		At       []int64
		File     bool
		Requests []struct{ Name string }
	}
	file := filepath.Join(t.TempDir(), "history.json")
	client := clienttest.Shared(t)
	c, err := console.New(client, console.WithToken(secret), console.WithMetrics(nil), console.WithHistory(file))
	if err != nil {
		t.Fatal(err)
	}
	p := pageOf(t, c)
	p.signIn()
	var before past
	_, stop := p.listen("api/stream?overview=1") // while a page is open, examinations are frequent
	clienttest.Await(t, "requests of two examinations", func() bool {
		if _, err := client.Put(t.Context(), "history/k", "v"); err != nil {
			t.Fatal(err)
		}
		p.get("api/memory?span=hour", &before)
		for _, r := range before.Requests {
			if r.Name == "changes" {
				return true
			}
		}
		return false
	})
	stop()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	again, err := console.New(client, console.WithToken(secret), console.WithMetrics(nil), console.WithHistory(file))
	if err != nil {
		t.Fatal(err)
	}
	q := pageOf(t, again)
	q.signIn()
	var after past
	q.get("api/memory?span=hour", &after)
	if len(after.At) == 0 || after.At[0] != before.At[0] || !after.File || len(after.Requests) == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
