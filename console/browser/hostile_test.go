package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hostile is keys and values that try to be more than text.
var hostile = []string{
	`<script>document.title='owned'</script>`,
	`<img src=x onerror="document.title='owned'">`,
	`"><svg onload=alert(1)>`,
	"javascript:alert(1)",
	"</textarea><b>bold</b>",
	"\x00\x01\x1b[31m\x7f",
	"line\nbreak\ttab\r\n",
	"rtl \u202egpj.exe\u202c \u2066x\u2069",
	"zero\u200bwidth\ufeff",
	"\xff\xfe\xc3\x28 broken",
	"..%2f..%2f?a=b&c=d#e",
	"__proto__",
	"{{constructor.constructor('alert(1)')()}}",
	"日本語 \U0001f600 é",
	strings.Repeat("long", 250),
}

// harmless fails if values became markup, or if characters that they hide are shown unescaped.
func (b *tab) harmless(where string) {
	b.t.Helper()
	var found []string
	b.js(
		`[...document.querySelectorAll(':is(main, dialog) :is(script, img, iframe, [onload], [onerror], a[href^="javascript"]), main b:not(.counts b, figcaption b), main svg:not(.chart svg)')].map((e) => e.outerHTML.slice(0, 200))`,
		&found,
	)
	if len(found) > 0 || b.is(`document.title.includes('owned')`) {
		b.t.Errorf("%s: values became markup: %q", where, found)
	}
	if b.is(
		`[...document.querySelectorAll('main, dialog')].some((e) => /[\u0000-\u0008\u202a-\u202e\u2066-\u2069\u200b\ufeff]/.test(e.textContent))`,
	) {
		b.t.Errorf("%s: hidden characters are shown as they are", where)
	}
}

func TestHostileKeysAndValues(t *testing.T) {
	base, client := serve(t, cluster)
	prefix := "hostile/"
	t.Cleanup(func() { client.Delete(t.Context(), prefix, clientv3.WithPrefix()) })
	for _, h := range hostile {
		put(t, client, prefix+h, h)
	}
	b := open(t, base, desktop, "keys?prefix="+b64(prefix)+"&sep=")
	b.await("all keys are listed", fmt.Sprintf(`document.querySelectorAll('.node').length === %d`, len(hostile)))
	b.shot("hostile")
	harmless := b.harmless
	harmless("the tree")
	for _, h := range hostile {
		b.visit("keys?prefix=" + b64(prefix) + "&sep=&key=" + b64(prefix+h))
		b.await(
			"its value",
			fmt.Sprintf(
				`document.querySelector('.keyname')?.textContent.length > 8 && document.querySelector('.node.shown') && document.querySelector('pre.value') && document.querySelector('dl.facts')?.innerText.includes('%d B')`,
				len(h),
			),
		)
		harmless(fmt.Sprintf("%.20q", h))
		for _, form := range []string{"Hex", "Text"} {
			b.press(form)
			b.await("it is shown", `document.querySelector('pre.value')`)
			harmless(fmt.Sprintf("%.20q as %s", h, form))
		}
		// An unchanged value is saved unchanged.
		b.press("Edit")
		b.await("the editor", `document.querySelector('textarea')`)
		b.press("Save")
		b.await("it is saved", `!document.querySelector('textarea') && document.querySelector('pre.value')`)
		if v := value(t, client, prefix+h); v != h {
			t.Errorf("%q became %q by an edit that changed nothing", h, v)
		}
	}
	b.visit("watch?prefix=" + b64(prefix))
	b.has(".counts", "Watching")
	for _, h := range hostile {
		put(t, client, prefix+h, h)
	}
	b.await(
		"all events are listed",
		fmt.Sprintf(`document.querySelectorAll('.events tbody tr').length === %d`, len(hostile)),
	)
	harmless("events")

	for i, h := range hostile { // records of services, good and bad ones
		put(t, client, fmt.Sprintf("hostile/svc/s/%d", i), h)
		put(
			t,
			client,
			fmt.Sprintf("hostile/svc/t/%d", i),
			fmt.Sprintf(
				`{"Addr":"10.0.0.1:80","Metadata":{"version":%q,"zone":%q,"%d":%q}}`,
				"<b>v</b>",
				"<img src=x>",
				i,
				strings.ToValidUTF8(h, "?"),
			),
		)
	}
	b.visit("services?records=naming&base=hostile/svc/")
	b.await("instances", `document.querySelectorAll('tbody tr').length >= 10`)
	b.js(`document.querySelectorAll('details').forEach((d) => { d.open = true; })`, nil)
	harmless("services")

	// The overview lists the most changed prefixes, and the changes that were made here.
	b.visit("overview")
	b.has(".prefixes", "Counted over")
	for _, h := range hostile {
		put(t, client, prefix+h+"/k", h)
	}
	b.await("hot prefixes", `document.querySelectorAll('.prefixes table')[0].querySelectorAll('td a').length === 10`)
	b.await("changes in the timeline", `document.querySelectorAll('.events-past .change').length >= 12`)
	b.press("Show all")
	b.await("all of them", fmt.Sprintf(`document.querySelectorAll('.events-past .change').length >= %d`, len(hostile)))
	harmless("the overview")
}

// TestALargeValue: a megabyte is shown in part, all of it on request, and the page stays
// responsive.
func TestALargeValue(t *testing.T) {
	base, client := serve(t, cluster)
	for name, val := range map[string]string{
		"text":   strings.Repeat("0123456789 <b>&amp; \U0001f600\n", 1<<20/27),
		"binary": strings.Repeat("\x00\xff\x10", 1<<20/3), "line": strings.Repeat("x", 1<<20),
		"json": `{"list": [` + strings.Repeat(`{"a": 12345678901234567890, "b": "x"},`, 25000) + `0]}`,
	} {
		key := "large/" + name
		put(t, client, key, val)
		b := open(t, base, desktop, keyPage(key))
		b.has("main", "are shown")
		b.press("Show all")
		b.await(
			"all of it",
			fmt.Sprintf(
				`document.querySelector('pre.value').textContent.length > %d && !document.body.innerText.includes(' are shown.')`,
				len(val)*2/3,
			),
		)
		b.press("Revisions")
		b.await("its revisions", `document.querySelectorAll('.scroll tbody tr').length >= 1`)
		if name == "json" && !b.is(`document.querySelector('pre.value').textContent.includes('12345678901234567890')`) {
			t.Error("a number was rounded")
		}
		b.visit("overview")
		b.has("main", "Healthy")
	}
}

// megabyte returns a value of a megabyte that tries to be more than text, with a mark.
func megabyte(mark string) string {
	part := mark + strings.Join(slices.Concat(hostile[:6], hostile[7:9]), " ") + "\n" // few enough lines to be compared
	return strings.Repeat(part, 1<<20/len(part))
}

// TestHostileMegabytes in every place that shows data of etcd: nothing becomes markup, nothing is
// executed, and the page answers.
func TestHostileMegabytes(t *testing.T) {
	base, client := serve(t, cluster)
	prefix := "megabytes/"
	ctx := clienttest.Within(t, 2*clienttest.Long)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
		defer cancel()
		for _, p := range []string{prefix, "/fairlead/services/megabytes/"} {
			if _, err := client.Delete(ctx, p, clientv3.WithPrefix()); err != nil {
				t.Error(err)
			}
		}
	})
	key := prefix + "value"
	for _, mark := range []string{"old ", "new "} {
		put(t, client, key, megabyte(mark))
	}
	b := open(t, base, desktop, "overview")
	b.js(
		`(() => { window.saved = []; URL.createObjectURL = (blob) => { window.saved.push(blob); return 'data:,'; }; })()`, nil)
	// usable fails if a click has no effect, and reports how long it took.
	usable := func(where string) {
		t.Helper()
		b.harmless(where)
		begin := time.Now()
		b.js(`document.getElementById('help').click()`, nil)
		b.await("the help", `document.querySelector('dialog[open]')?.innerText.includes('Keyboard')`)
		b.js(`[...document.querySelectorAll('dialog[open]')].at(-1).querySelector('.buttons button').click()`, nil)
		b.await("it is closed", `!document.querySelector('dialog[open]')?.innerText.includes('Keyboard')`)
		t.Logf("%s: a click was answered within %v", where, time.Since(begin).Round(time.Millisecond))
	}

	// A search with its excerpt; the key's history and the difference.
	b.visit("keys?prefix=" + b64(prefix) + "&values=1&find=" + b64("new <script>"))
	b.has(".hits", "<script>")
	usable("what was found")
	b.visit("keys?prefix=" + b64(prefix) + "&key=" + b64(key))
	b.has("main", "are shown")
	b.press("Revisions")
	b.await("a difference", `document.querySelector('.diff')`)
	usable("a difference of two")
	b.press("Show all")
	b.await("all of it", `!document.body.innerText.includes(' are shown.')`)
	usable("all of it")
	b.press("Edit")
	b.await("the editor", `document.querySelector('main textarea')`)
	b.press("Save")
	b.await("it is saved", `!document.querySelector('main textarea') && document.querySelector('pre.value')`)
	if value(t, client, key) != megabyte("new ") {
		t.Error("an edit that changed nothing changed it")
	}

	// An export and an import.
	b.visit("keys?prefix=" + b64(prefix))
	b.press("Export…")
	b.press("Save the file")
	b.has(".toast", "Saved 1 key")
	if _, err := client.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	b.press("Import…")
	b.js(
		`(() => { const all = new DataTransfer(); all.items.add(new File(window.saved, 'saved.jsonl')); document.querySelector('dialog input[type=file]').files = all.files; })()`,
		nil,
	)
	b.press("Show what it will do")
	b.has("dialog", "1 key is added")
	b.harmless("an import")
	b.press("Write 1 key")
	b.has(".toast", "1 added")
	if value(t, client, key) != megabyte("new ") {
		t.Error("it came back as another one")
	}
	b.visit("audit")
	b.has("main", "put")
	usable("the log of changes")

	// Metadata of an instance, and an invalid record.
	text, err := json.Marshal(map[string]any{
		"service": "megabytes", "id": "i", "addresses": []string{"10.0.0.1:80"},
		"metadata": map[string]string{hostile[1]: strings.ToValidUTF8(megabyte("meta "), "?")[:1<<19]},
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, "/fairlead/services/megabytes/i", string(text))
	put(t, client, "/fairlead/services/megabytes/bad", megabyte("bad "))
	b.visit("services")
	b.has("main", "10.0.0.1:80")
	b.js(`document.querySelectorAll('details').forEach((d) => { d.open = true; })`, nil)
	usable("services")
	b.visit("services?service=megabytes&id=i")
	b.has("main", "meta <script>")
	usable("an instance")

	// The previous value, on the watch page.
	b.visit("watch?prefix=" + b64(prefix))
	b.has(".counts", "Watching")
	for range 20 {
		put(t, client, key, megabyte("next "))
	}
	b.await("the events", `document.querySelectorAll('.events tbody tr').length === 20`)
	b.has(".events", "was next <script>")
	usable("events")

	// A candidate, a queue's name, and the keys of a lease.
	s, err := concurrency.NewSession(client, concurrency.WithTTL(30))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = concurrency.NewElection(s, prefix+strings.Join(hostile[:9], "")).Campaign(ctx, megabyte("candidate "))
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, prefix+"leased"+hostile[5]+hostile[7], megabyte("leased "), clientv3.WithLease(s.Lease()))
	b.visit("locks")
	b.has("main", "candidate <script>")
	usable("locks")
	b.visit("leases")
	b.has("main", `leased\x00`)
	usable("leases")
}
