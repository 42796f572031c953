package browser

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
)

// tabsMost bounds the presses of the Tab key to reach any element, however many keys there are.
const tabsMost = 60

// byKeyboard moves the focus to a button with the keyboard and presses it.
func (b *tab) byKeyboard(name string) {
	b.t.Helper()
	b.await("there is "+name, button(name))
	for range tabsMost {
		if b.is(`document.activeElement === ` + button(name)) {
			b.keys("\r")
			return
		}
		b.keys(kb.Tab)
	}
	var at string
	b.js(`document.activeElement.outerHTML.slice(0,300)`, &at)
	b.t.Fatalf("%s cannot be reached by the keyboard: at %s", name, at)
}

// byTab presses the Tab key until an expression holds.
func (b *tab) byTab(what, expression string) {
	b.t.Helper()
	for range tabsMost {
		if b.is(expression) {
			return
		}
		b.keys(kb.Tab)
	}
	b.t.Fatalf("%s cannot be reached by the keyboard", what)
}

// TestManyKeys: they are found, marked, saved, deleted and restored, with the keyboard alone.
func TestManyKeys(t *testing.T) {
	base, client := serve(t, cluster)
	prefix := "bulk/" + t.Name() + "\x01/"
	all := make(map[string]string)
	for i := range 150 {
		all[fmt.Sprintf("%s%03d", prefix, i)] = "<b>v\u202e"
	}
	all[prefix+"042"] = "the needle<img src=x>\x02"
	if _, err := client.PutAll(t.Context(), maps.All(all)); err != nil {
		t.Fatal(err)
	}
	lease, err := client.Grant(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, prefix+"leased", "v", clientv3.WithLease(lease.ID))
	b := open(t, base, desktop, "keys?prefix="+b64(prefix))
	b.expect("400")
	b.expect("409")
	// Saved files stay in the page, where the test finds them.
	b.js(
		`(() => { window.saved = []; URL.createObjectURL = (blob) => { window.saved.push(blob); return 'data:,'; }; })()`,
		nil,
	)

	// A search in values.
	b.await("the keys", `document.querySelectorAll('.treebox .node').length > 100`)
	b.enter("[role=search] input[type=search]", "NEEDLE")
	b.keys(kb.Tab + " ")
	b.byKeyboard("Find")
	b.has(".treebox", "All was looked at. 1 found in 151 keys.")
	b.has(".hits", "the needle<img")
	b.examineBoth("what was found")
	b.shot("keys-found")
	b.keys("\r") // the first hit has the focus
	b.has("pre.value", "the needle")
	if b.is(`document.querySelector('main img') || /\u202e/.test(document.querySelector('main').textContent)`) {
		t.Error("values are not shown inert")
	}
	b.enter("[role=search] input[type=search]", kb.Backspace+"\r")
	b.await("the tree again", `document.querySelectorAll('.tree:not(.hits) .node').length > 100`)

	// Several at once, one of which was changed.
	b.byKeyboard("Mark several")
	b.await("there are boxes", `document.querySelectorAll('.marker').length > 100`)
	b.byTab("the tree", `document.activeElement.matches('.treebox .node')`)
	if b.is(`document.querySelectorAll('.treebox [tabindex="0"]').length !== 1`) {
		t.Error("the tree is more than one stop of the Tab key")
	}
	b.keys(kb.Home + " " + kb.ArrowDown + " j ")
	b.has(".marks", "3 marked")
	b.keys(" ")
	b.has(".marks", "2 marked")
	b.keys(" ")
	b.has(".marks", "3 marked")
	if b.is(
		`document.querySelectorAll('[aria-description=marked]').length !== 3 || document.querySelectorAll('.marker:checked').length !== 3`) {
		t.Error("what is marked is not said")
	}
	if !b.is(`document.querySelector('pre.value')?.innerText.includes('needle')`) {
		t.Error("the space bar opens keys that it marks")
	}
	b.examineBoth("marked keys")
	put(t, client, prefix+"001", "theirs")
	b.byKeyboard("Delete them…")
	b.has("dialog", "All at once.")
	b.byKeyboard("Delete 3 keys")
	b.has("dialog", "Nothing was deleted")
	b.byKeyboard("Unmark them")
	b.has(".marks", "2 marked")
	// Marking it again acknowledges the change; a key that came meanwhile has a box too.
	put(t, client, prefix+"042a", "new")
	b.await("a box of the new key",
		`[...document.querySelectorAll('.treebox li')].some((e) => e.innerText.trim() === '042a' && e.querySelector('.marker'))`)
	for _, name := range []string{"001", "042a"} {
		b.js(
			fmt.Sprintf(
				`[...document.querySelectorAll('.treebox .node')].find((e) => e.innerText.trim() === %q).focus()`,
				name), nil)
		b.keys(" ")
	}
	b.has(".marks", "4 marked")
	b.byKeyboard("Delete them…")
	b.byKeyboard("Delete 4 keys")
	b.has(".toast", "Deleted 4 keys")
	put(t, client, prefix+"001", "theirs")
	b.await("it is there again",
		`[...document.querySelectorAll('.treebox .node')].some((e) => e.innerText.trim() === '001')`)
	for _, name := range []string{"003", "004"} {
		b.js(
			fmt.Sprintf(
				`[...document.querySelectorAll('.treebox .node')].find((e) => e.innerText.trim() === %q).focus()`,
				name), nil)
		b.keys(" ")
	}
	b.has(".marks", "2 marked")
	b.byKeyboard("Delete them…")
	b.byKeyboard("Delete 2 keys")
	b.has(".toast", "Deleted 2 keys")
	if value(t, client, prefix+"000") != "<none>" || value(t, client, prefix+"001") != "theirs" {
		t.Fatal("others were deleted")
	}

	// All of them: the user types the prefix, and the keys are saved.
	b.byKeyboard("Delete all of these…")
	b.has("dialog", "147 keys")
	b.examineBoth("deleting many")
	b.shot("delete-many")
	b.byKeyboard("Save and delete 147 keys")
	b.has("dialog .say", "not the prefix")
	b.enter("dialog input", strings.ReplaceAll(prefix, "\x01", `\x01`))
	b.byKeyboard("Save and delete 147 keys")
	b.has(".toast", "Deleted 147 keys")
	if value(t, client, prefix+"001") != "<none>" {
		t.Fatal("it is there")
	}

	// The file restores them, except the one with a lease.
	b.byKeyboard("Import…")
	b.await("the file is there", `window.saved.length === 1`)
	b.examineBoth("importing")
	b.js(
		`(() => { const all = new DataTransfer(); all.items.add(new File(window.saved, 'saved.jsonl')); document.querySelector('dialog input[type=file]').files = all.files; })()`,
		nil,
	)
	b.byKeyboard("Show what it will do")
	b.has("dialog", "146 keys are added")
	b.has("dialog", "1 had a lease and is left out")
	b.has(`dialog [aria-label="Left out"]`, "leased")
	b.examineBoth("what an import does")
	b.shot("import")
	put(t, client, prefix+"005", "theirs")
	b.byKeyboard("Write 146 keys")
	b.has("dialog", "have changed since they were shown")
	b.byKeyboard("Close")
	b.byKeyboard("Import…")
	b.js(
		`(() => { const all = new DataTransfer(); all.items.add(new File(window.saved, 'saved.jsonl')); document.querySelector('dialog input[type=file]').files = all.files; })()`,
		nil,
	)
	b.byKeyboard("Show what it will do")
	b.has("dialog", "1 is there with another value and is left alone")
	b.byKeyboard("Write 145 keys")
	b.has(".toast", "145 added, 0 changed")
	if v := value(t, client, prefix+"042"); v != all[prefix+"042"] {
		t.Errorf("%q", v)
	}
	if v := value(t, client, prefix+"005"); v != "theirs" {
		t.Errorf("%q", v)
	}
	b.byKeyboard("Export…")
	b.examineBoth("exporting")
	b.byKeyboard("Save the file")
	b.has(".toast", "Saved 146 keys")
}

// TestYAMLAndLeases: a new key gets a lease; YAML is formatted, and invalid YAML is reported.
func TestYAMLAndLeases(t *testing.T) {
	base, client := serve(t, cluster)
	key := "yaml/" + t.Name()
	b := open(t, base, desktop, "keys?prefix="+b64(key))
	b.expect("400")
	b.press("New key")
	b.enter("dialog textarea", "a:   1\rb: [1,2]  # why")
	b.press("Format")
	b.has("dialog [role=status]", "Formatted as YAML")
	b.js(`[...document.querySelectorAll('dialog label input')].at(-2).focus()`, nil)
	b.keys("300")
	b.examineBoth("a new key")
	b.press("Create")
	b.has("pre.value", "a: 1\nb: [1, 2] # why")
	b.has(".facts", "left")
	b.press("Edit")
	b.enter("textarea", "a: 1\r b: 2")
	b.press("Format")
	b.has(".panel .toolbar [role=status]", "not formatted")
	b.press("Save")
	b.has("main .say", "was YAML and is not any more")
	if v := value(t, client, key); v != "a: 1\nb: [1, 2] # why\n" {
		t.Fatalf("%q", v)
	}
	b.press("Save")
	b.has("pre.value", " b: 2")
}

// TestReadOnlyKeys: only actions that read are offered.
func TestReadOnlyKeys(t *testing.T) {
	base, client := serve(t, cluster, console.WithReadOnly())
	seed(t, client)
	b := open(t, base, desktop, "keys?find="+b64("motd"))
	b.has(".hits", "/config/motd")
	b.await("an export is offered", button("Export…"))
	for _, text := range []string{"Import", "Mark several", "New key", "Delete"} {
		if b.is(button(text)) {
			t.Errorf("it offers %s", text)
		}
	}
}
