package browser

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/console"
)

// TestAnotherPortOfThisHost gets the console's cookie from the browser. The cookie alone permits
// nothing, and the secret stays with the console's own origin.
func TestAnotherPortOfThisHost(t *testing.T) {
	base, _ := serve(t, cluster)
	var (
		mu  sync.Mutex
		got []*http.Cookie
	)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got = append(got, r.Cookies()...)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<title>other</title>"))
	}))
	defer other.Close()
	b := open(t, base, desktop, "overview")
	b.expect("a request to " + other.URL)
	b.has("main", "3 of 3 members answer")
	b.expect("404") // its icon
	b.run(chromedp.Navigate(other.URL + "/"))
	b.await("the other server's page", `document.title === 'other'`)
	if b.is(`localStorage.length > 0 || sessionStorage.length > 0`) {
		t.Error("the other port finds what was stored")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) == 0 {
		t.Fatal("the browser sends no cookie to other ports any more: then this test shows nothing")
	}
	for _, path := range []string{"/api/count", "/api/stream?overview=1"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got {
			r.AddCookie(c)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s with the cookie alone: status %d", path, resp.StatusCode)
		}
	}
}

// TestAnotherSiteBringsATokenAlong: the token is not used, and the page gives the reason.
func TestAnotherSiteBringsATokenAlong(t *testing.T) {
	base, _ := serve(t, cluster)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(
			[]byte(`<title>other</title><a href="` + base + "/?token=" + url.QueryEscape(secret) + `">there</a>`),
		)
	}))
	defer other.Close()
	b := tabOf(t, base, desktop)
	b.expect("a request to " + other.URL)
	b.expect("404")
	b.run(chromedp.Navigate(other.URL + "/"))
	b.press("there")
	b.has(".signin .say", "Another site brought you here")
	b.enter("input[name=token]", secret+"\r")
	b.has("main", "3 of 3 members answer")
}

// TestATabSignedInAlready serves the next one: the secret is stored for the origin.
func TestATabSignedInAlready(t *testing.T) {
	base, _ := serve(t, cluster)
	b := open(t, base, desktop, "overview")
	b.run(chromedp.Navigate(base + "/"))
	b.has("main", "3 of 3 members answer")
	b.has("#live", "Live")
	b.expect("401") // requests that the page makes just then, which lead to the sign-in too
	b.js(
		`fetch('api/session', {method: 'DELETE', headers: {'Fairlead-Session': localStorage.getItem('fairlead-session /')}}).then((r) => r.status)`,
		nil,
	)
	b.has("main", "Sign in") // another tab has signed out
}

// TestADialogGoesWithItsPage: otherwise its button would act on something that is not shown any
// more.
func TestADialogGoesWithItsPage(t *testing.T) {
	base, client := serve(t, cluster)
	put(t, client, "dialogs/a", "v")
	put(t, client, "dialogs/b", "v")
	b := open(t, base, desktop, keyPage("dialogs/a"))
	for _, page := range []string{"overview", keyPage("dialogs/b")} {
		b.visit(keyPage("dialogs/a"))
		b.press("Delete…")
		b.has("dialog", "Delete this key?")
		b.visit(page)
		b.await("the dialog is gone", `!document.querySelector('dialog')`)
	}
	if v := value(t, client, "dialogs/a"); v != "v" {
		t.Errorf("the key is %q", v)
	}
}

// TestConfirmationsNameTheCluster, as text, and the page of changes shows the change.
func TestConfirmationsNameTheCluster(t *testing.T) {
	name := "production <b>\u202e"
	base, client := serve(t, cluster, console.WithName(name))
	key := "audit/<img src=x>\x1b"
	put(t, client, key, "<script>alert(1)</script>\u202e")
	b := open(t, base, desktop, keyPage(key))
	b.press("Delete…")
	b.has("dialog .cluster", `Cluster: production <b>\u{202e}`)
	b.press("Delete it")
	b.has("main", "does not exist")
	b.visit("audit")
	b.has("tbody", `audit/<img src=x>\x1b`)
	b.has("tbody", `<script>alert(1)</script>\u202e`)
	b.has("tbody", "done")
	b.shot("audit")
}
