package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestJump: Ctrl-K leads to a page, a key by its beginning, a service and an action, without a
// mouse.
func TestJump(t *testing.T) {
	base, client := serve(t, cluster)
	seed(t, client)
	put(t, client, "jump/<b>a</b>/one", "first")
	put(t, client, "jump/<b>a</b>/two", "second")
	b := open(t, base, desktop, "overview")
	jump := func(text string) {
		t.Helper()
		b.js(`document.activeElement?.blur()`, nil)
		b.run(chromedp.KeyEvent("k", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
		b.await("the dialog", `document.querySelector('dialog[open] input[role=combobox]') === document.activeElement`)
		b.keys(text)
	}
	jump("leas")
	b.has(".jump [aria-selected=true]", "Leases")
	b.keys(kb.Enter)
	b.has("h1", "Leases")

	jump("jump/<b>a</b>/t")
	b.has(".jump", "Key jump/<b>a</b>/two")
	b.await("it is the first", `document.querySelector('.jump [aria-selected=true]').innerText.endsWith('/two')`)
	b.keys(kb.Enter)
	b.has("pre.value", "second")

	jump("payments")
	b.has(".jump [aria-selected=true]", "Service payments")
	b.keys(kb.Enter)
	b.await(
		"only the service is shown",
		`document.querySelectorAll('section[aria-label]').length === 1 && document.querySelector('section[aria-label=payments]') !== null`,
	)

	b.visit("keys?key=anVtcC88Yj5hPC9iPi9vbmU") // jump/<b>a</b>/one
	b.has("pre.value", "first")
	jump("edit")
	b.has(".jump", "Action")
	b.keys(kb.Enter)
	b.await("the editor is there", `document.activeElement.matches('textarea')`)

	b.visit("overview")
	jump("nothing is called so, nothing")
	b.has(".jump", "Key nothing is called so, nothing")
	b.keys(kb.Escape)
	b.await("it is closed", `!document.querySelector('dialog[open]')`)
}

// TestRestore: an old value is written again after it was shown, and never over a value that
// another client wrote.
func TestRestore(t *testing.T) {
	base, client := serve(t, cluster)
	put(t, client, "restore/a", "old\r\nvalue")
	put(t, client, "restore/a", "new value")
	b := open(t, base, desktop, "keys?key=cmVzdG9yZS9h")
	b.press("Revisions")
	b.press("Restore revision")
	b.has("dialog[open]", "new value")
	b.press("Restore it")
	b.await("it is there", `document.querySelectorAll('.scroll tbody tr').length === 3`)
	if v := value(t, client, "restore/a"); v != "old\r\nvalue" {
		t.Fatalf("the key is %q", v)
	}

	// Another client is faster.
	b.press("Restore revision")
	b.has("dialog[open]", "Restore it")
	put(t, client, "restore/a", "theirs")
	b.expect("409")
	b.press("Restore it")
	b.has("main", "nothing was restored")
	if v := value(t, client, "restore/a"); v != "theirs" {
		t.Fatalf("the key is %q", v)
	}

	// A deleted key comes back.
	if _, err := client.Delete(t.Context(), "restore/a"); err != nil {
		t.Fatal(err)
	}
	b.has("main", "does not exist")
	b.press("Revisions")
	b.await("the deletion is listed", `document.querySelector('.scroll tbody tr')?.innerText.includes('deleted')`)
	b.press("Restore revision")
	b.press("Restore it")
	b.has("pre.value", "theirs")
}
