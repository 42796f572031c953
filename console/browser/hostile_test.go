package browser

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hostile is keys and values that try to be something else than text.
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
	harmless := func(where string) {
		t.Helper()
		var found []string
		b.js(
			`[...document.querySelectorAll('main script, main img, main b:not(.counts b, figcaption b), main iframe, main svg:not(.chart svg), [onload], [onerror], a[href^="javascript"]')].map((e) => e.outerHTML)`,
			&found,
		)
		if len(found) > 0 || b.is(`document.title.includes('owned')`) {
			t.Errorf("%s: values became markup: %q", where, found)
		}
		if b.is(
			`/[\u0000-\u0008\u202a-\u202e\u2066-\u2069\u200b\ufeff]/.test(document.querySelector('main').textContent)`,
		) {
			t.Errorf("%s: hidden characters are shown as they are", where)
		}
	}
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
		// What was not touched is saved as it was.
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

	// The overview names what is changed most, and what was changed here.
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

// TestALargeValue: a megabyte is shown in part, all of it if asked for, and the page stays alive.
func TestALargeValue(t *testing.T) {
	base, client := serve(t, cluster)
	for name, val := range map[string]string{
		"text": strings.Repeat("0123456789 <b>&amp; \U0001f600\n", 1<<20/27), "binary": strings.Repeat("\x00\xff\x10", 1<<20/3), "line": strings.Repeat("x", 1<<20),
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
