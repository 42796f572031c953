package browser

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/fairlead-go/fairlead/console"
)

// stopsMost is more than the number of stops of the Tab key on any page with the keys of seed.
const stopsMost = 400

// covered measures how much of the focused element the head of the page covers.
const covered = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body || e.closest('.top, .skip, dialog')) return '';
	const head = document.querySelector('.top').getBoundingClientRect(), r = e.getBoundingClientRect();
	const room = innerHeight - head.height;
	if (r.height > room || r.top >= head.bottom - 1 && r.top < innerHeight) return '';
	return e.outerHTML.slice(0, 120) + ' from ' + r.top + ' to ' + r.bottom + ', the head ends at ' + head.bottom + ' of ' + innerHeight;
})()`

// axeScrolled is axeRules on a scrolled page. axe reports elements that are partly under the head
// as too small, which any element is at some scroll position; so they do not count, unless they
// have the focus.
const axeScrolled = `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations'], elementRef: true})
	.then((r) => {
		const end = document.querySelector('.top').getBoundingClientRect().bottom;
		const under = (v, e) => v.id === 'target-size' && e !== document.activeElement && !e.closest('.top') && e.getBoundingClientRect().top < end;
		return r.violations.flatMap((v) => v.nodes.filter((n) => !under(v, n.element)).map((n) => v.id + ': ' + v.help + ': ' + n.html.slice(0, 160)));
	})`

// last is the last element of the page's content that the Tab key reaches.
const last = `[...document.querySelectorAll('main :is(a[href], button, input, select, textarea, [tabindex="0"])')].filter((e) => e.offsetParent !== null && !e.disabled && e.tabIndex >= 0).at(-1)`

// walk presses a key until the focus has left the page's content, and reports where the focus was
// covered. It calls at for each stop.
func (b *tab) walk(what string, press chromedp.Action[chromedp.Void], at func(stop int)) (stops int) {
	b.t.Helper()
	for range stopsMost {
		if b.is(`!document.activeElement.closest('main, #wrong')`) {
			return stops
		}
		stops++
		var found string
		b.js(covered, &found)
		if found != "" {
			b.t.Errorf("%s: the focus is covered: %s", what, found)
		}
		at(stops)
		b.run(press)
	}
	b.t.Fatalf("%s: the Tab key comes to no end", what)
	return 0
}

// TestFocusIsNotCovered: wherever the Tab key goes, forward and back, the head of the page, which
// stays while the page scrolls, covers no part of the focused element. In the middle axe-core finds
// nothing on the scrolled page.
func TestFocusIsNotCovered(t *testing.T) {
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	base, client := serve(t, cluster, console.WithMetrics(nil))
	seed(t, client)
	for _, width := range []int64{360, 768, 1280} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			b := open(t, base, look{width: width, height: 420}, "overview")
			ask(b, chromedp.Evaluate[string](string(axe)+`; "there"`))
			for _, page := range everyPage {
				b.visit(page)
				b.await("it is there", `!document.querySelector('main .wait')`)
				b.js(`document.getElementById('main').focus()`, nil)
				n := b.walk(page+", forward", chromedp.KeyEvent(kb.Tab), func(int) {})
				b.js(last+`.focus()`, nil)
				back := chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift))
				m := b.walk(page+", back", back, func(stop int) {
					if stop == n/2 {
						var found []string
						b.js(axeScrolled, &found)
						for _, f := range found {
							t.Errorf("%s, scrolled: %s", page, f)
						}
					}
				})
				if m < n/2 || n < 2 {
					t.Errorf("%s: %d stops forward, %d back", page, n, m)
				}
			}
		})
	}
}
