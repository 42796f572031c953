package browser

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/fairlead-go/fairlead/console"
)

// everyPage has the address of each page of the console.
var everyPage = []string{
	"overview", "services", "keys?prefix=L2NvbmZpZy8&key=L2NvbmZpZy9vcmRlcnMuanNvbg", "watch?prefix=L3RlbmFudHMv",
	"leases", "locks", "access", "audit",
}

// axeRules are those of WCAG 2.2, levels A and AA.
const axeRules = `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations']})
	.then((r) => r.violations.flatMap((v) => v.nodes.slice(0, 3).map((n) => v.id + ': ' + v.help + ': ' + n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? ''))))`

// dialogs are some of the dialogs that open above pages.
var dialogs = []struct{ page, button string }{
	{"keys?prefix=L2NvbmZpZy8&key=L2NvbmZpZy9vcmRlcnMuanNvbg", "Delete…"},
	{
		"overview",
		"Jump",
	}, {"overview", "Compact…"}, {"overview", "Add member…"}, {"overview", "Move leader…"}, {"overview", "Defragment…"},
}

// examine has axe-core check the screen.
func (b *tab) examine(what string) {
	b.t.Helper()
	var found []string
	b.js(axeRules, &found)
	for _, f := range found {
		b.t.Errorf("%s: %s", what, f)
	}
}

// examineBoth has axe-core check the screen in both themes, for example a dialog.
func (b *tab) examineBoth(what string) {
	b.t.Helper()
	if !b.is(`window.axe`) {
		axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
		if err != nil {
			b.t.Fatal(err)
		}
		ask(b, chromedp.Evaluate[string](string(axe)+`; "there"`))
	}
	for _, theme := range []string{"light", "dark"} {
		b.js(fmt.Sprintf(`document.documentElement.dataset.theme = %q`, theme), nil)
		b.examine(what + ", " + theme)
	}
	b.js(`delete document.documentElement.dataset.theme`, nil)
}

// TestAccessible: axe-core finds no violation of WCAG 2.2 AA on any page, in both themes and at
// three widths.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("axe-core comes with npm ci in this directory (make test-browser does that): %v", err)
	}
	base, client := serve(t, cluster, console.WithMetrics(nil))
	seed(t, client)
	for _, width := range []int64{360, 768, 1280} {
		for _, dark := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d-dark=%v", width, dark), func(t *testing.T) {
				b := open(t, base, look{width: width, height: 860, dark: dark}, "overview")
				ask(b, chromedp.Evaluate[string](string(axe)+`; "there"`))
				for _, page := range everyPage {
					b.visit(page)
					b.await("it is there", `!document.querySelector('main .wait')`)
					if strings.HasPrefix(page, "keys") {
						b.press("Revisions")
						b.has(".diff", "timeout")
					}
					b.examine(page)
				}
				for _, d := range dialogs {
					b.visit(d.page)
					b.await("it is there", `!document.querySelector('main .wait')`)
					b.press(d.button)
					b.await("the dialog "+d.button, `document.querySelector('dialog[open]')`)
					b.examine(d.page + ", " + d.button)
					b.keys(kb.Escape)
					b.await("it is closed", `!document.querySelector('dialog[open]')`)
				}
			})
		}
	}
}
