package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestKeyboardOnly uses no mouse to find a key, edit it, look at its revisions, delete it, and go
// through pages.
func TestKeyboardOnly(t *testing.T) {
	base, client := serve(t, cluster)
	key := "keyboard/a/b"
	put(t, client, key, "old")
	put(t, client, "keyboard/a/c", "other")
	b := open(t, base, desktop, "overview")
	b.keys("?")
	b.has("dialog", "Keyboard")
	b.keys(kb.Escape)
	b.await("the help is closed", `!document.querySelector('dialog')`)
	b.keys("gk")
	b.has("h1", "Keys")
	b.keys("/")
	b.await("the search has the focus", `document.activeElement.matches('[data-search]')`)
	b.js(`document.activeElement.select()`, nil) // the driver types the slash too, which a user's browser does not
	b.keys("keyboard/\r")
	b.await("the branch has the focus", `document.activeElement.innerText?.includes('a/')`)
	b.keys(kb.ArrowRight)
	b.await("it is open", `[...document.querySelectorAll('.node')].length === 3`)
	b.keys("jj")
	b.await("the second key has the focus", `document.activeElement.innerText?.trim() === 'c'`)
	b.keys("k\r")
	b.has("pre.value", "old")
	b.keys("e")
	b.await("the editor has the focus", `document.activeElement.matches('textarea')`)
	b.js(`document.activeElement.select()`, nil)
	b.keys("new" + kb.Tab)
	b.keys(kb.Tab + "\r") // past Cancel
	b.has("pre.value", "new")
	if v := value(t, client, key); v != "new" {
		t.Fatalf("the key is %q", v)
	}
	b.keys("r")
	b.await("revisions", `document.querySelectorAll('.scroll tbody tr').length >= 2`)
	for range 60 {
		if b.is(`document.activeElement.innerText === 'Delete…'`) {
			break
		}
		b.keys(kb.Tab)
	}
	b.keys("\r")
	b.has("dialog", "Delete this key?")
	b.await("the focus is on what does no harm", `document.activeElement.innerText === 'Cancel'`)
	b.keys(kb.Tab + "\r")
	b.has("main", "does not exist")
	if v := value(t, client, key); v != "<none>" {
		t.Fatalf("the key is %q", v)
	}
	for letter, name := range map[string]string{
		"o": "Overview", "s": "Services", "w": "Watch", "l": "Leases", "c": "Locks", "a": "Users",
	} {
		b.js(`document.activeElement.blur()`, nil)
		b.keys("g" + letter)
		b.has("h1", name)
	}
	// The focus is visible wherever it is.
	b.keys("gs")
	for range 15 {
		b.keys(kb.Tab)
		if !b.is(
			`document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'`,
		) {
			var who string
			b.js(`document.activeElement.outerHTML`, &who)
			t.Errorf("the focus on %s cannot be seen", who)
		}
	}
}
