package browser

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/console"
)

// TestEveryPage visits each page as a user does, and keeps screenshots.
func TestEveryPage(t *testing.T) {
	base, client := serve(t, cluster, console.WithMetrics(nil))
	seed(t, client)
	b := open(t, base, desktop, "overview")
	b.has(".tile .figure", "Healthy")
	b.has("main", "3 of 3 members answer")
	b.await(
		"three members, one leading",
		`document.querySelectorAll('.members tbody tr').length === 3 && document.querySelectorAll('.tag.accent').length === 1`,
	)
	stop := churn(t, client, "/tenants/acme/carts/", 300)
	b.await(
		"the rates are drawn",
		`(([changes, proposals, requests]) => changes > 18 && proposals > 18 && requests > 5)([...document.querySelectorAll('.chart .stroke')].map((p) => p.getAttribute('d').split('L').length))`,
	)
	b.await("about 50 changes a second", `parseFloat(document.querySelector('.chart b').innerText) > 20`)
	b.has(".prefixes", "Counted over the last")
	b.has(".prefixes table:nth-of-type(1)", "/tenants/acme/")
	b.has(".prefixes", "keys. Sizes are estimated from the first 8 keys of each.")
	b.js(`scrollTo(0, 0)`, nil)
	b.shot("overview")
	b.run(chromedp.EmulateViewport(1280, 620))
	b.js(`document.querySelector('.prefixes').scrollIntoView({block: 'end'})`, nil)
	b.shot("prefixes")
	b.run(chromedp.EmulateViewport(desktop.width, desktop.height))
	stop()

	b.visit("services")
	b.has("main", "orders-7d9f-1")
	b.await(
		"five instances, one draining",
		`document.querySelectorAll('tbody tr').length === 5 && document.querySelectorAll('td .state.warn').length === 1`,
	)
	b.press("2 metadata")
	b.has("main", "9f2c1ab")
	b.shot("services")

	b.visit("keys")
	b.run(chromedp.EmulateViewport(1280, 1120))
	b.press("/")
	b.press("config/")
	b.press("orders.json")
	b.has("pre.value", `"perSecond": 200`)
	b.press("Revisions")
	b.has(".diff", `"timeout": "5s"`)
	b.await(
		"a difference of JSON",
		`document.querySelectorAll('.diff .add').length === 6 && document.querySelectorAll('.diff .del').length === 2`,
	)
	b.shot("keys-diff")
	b.run(chromedp.EmulateViewport(desktop.width, desktop.height))

	b.visit("watch")
	b.run(chromedp.Click(chromedp.CSS(".head button.primary")))
	b.has(".counts", "Watching")
	stop = churn(t, client, "/tenants/acme/carts/", 50)
	b.await(
		"events are listed, and their rate",
		`document.querySelectorAll('.events tbody tr').length > 15 && parseFloat(document.querySelectorAll('.counts b')[1].innerText) > 10`,
	)
	b.shot("watch")
	stop()

	b.visit("leases")
	b.await(
		"leases with keys",
		`document.querySelectorAll('tbody tr').length >= 4 && document.body.innerText.includes('/locks/nightly-report/')`,
	)
	b.shot("leases")

	b.visit("locks")
	b.await(
		"a lock and an election, each with an owner and two who wait",
		`document.querySelectorAll('table').length === 2 && document.querySelectorAll('.tag.ok').length === 2 && document.querySelectorAll('tbody tr').length === 6`,
	)
	b.has("main", "worker-a")
	b.shot("locks")

	b.visit("access")
	b.has("main", "Authentication is off")
	b.shot("access")
}

// TestFirstPage reports the cost of the first page, each time in a new profile; it is a figure,
// since machines differ.
func TestFirstPage(t *testing.T) {
	base, _ := serve(t, cluster)
	open(t, base, desktop, "overview") // so that the browser's own start does not count
	const times = 7
	type load struct{ Page, Members, Bytes, Requests float64 }
	var loads []load
	for range times {
		b := tabOf(t, base, desktop)
		b.run(func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
			_, err = cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument,
				page.AddScriptToEvaluateOnNewDocumentParams{Source: membersSeen})
			return none, err
		})
		b.run(chromedp.Navigate(base + "/?token=" + url.QueryEscape(secret)))
		b.await("the members", `window.members_ > 0`)
		var l load
		b.js(`(() => { const n = performance.getEntriesByType('navigation')[0];
			const all = performance.getEntriesByType('resource').filter((r) => r.startTime < members_);
			return {page: n.domContentLoadedEventEnd, members: members_, requests: all.length + 1,
				bytes: n.transferSize + all.reduce((s, r) => s + r.transferSize, 0)}; })()`, &l)
		loads = append(loads, l)
		b.run(func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
			_, err = cdp.Call(ctx, t, page.Close, cdp.Empty{}) // its stream would slow down the next
			return none, err
		})
	}
	median := func(of func(load) float64) float64 {
		slices.SortFunc(loads, func(a, b load) int { return cmp.Compare(of(a), of(b)) })
		return of(loads[times/2])
	}
	size := median(func(l load) float64 { return l.Bytes })
	t.Logf(
		"first page, medians of %d: %.0f ms until its scripts have run, %.0f ms until the members are on it; %.1f KB "+
			"in %.0f requests",
		times,
		median(func(l load) float64 { return l.Page }),
		median(func(l load) float64 { return l.Members }),
		size/1000,
		median(func(l load) float64 { return l.Requests }),
	)
	if size > 60_000 {
		t.Errorf("the first page is %.0f bytes", size)
	}
}

// membersSeen is a script that notes when the page shows all members.
const membersSeen = `new MutationObserver(() => {
	if (!window.members_ && document.querySelectorAll('.members tbody tr').length === 3) window.members_ = performance.now();
}).observe(document, {childList: true, subtree: true})`

// TestLive: pages show changes in the cluster without a reload.
func TestLive(t *testing.T) {
	base, client := serve(t, cluster)
	seed(t, client)
	b := open(t, base, desktop, "keys?prefix=L2NvbmZpZy8") // /config/
	b.press("motd")
	b.has("pre.value", "Maintenance")
	put(t, client, "/config/motd", "Postponed.")
	b.has("pre.value", "Postponed.")
	put(t, client, "/config/new", "")
	b.has(".tree", "new")
	if _, err := client.Delete(t.Context(), "/config/new"); err != nil {
		t.Fatal(err)
	}
	b.await(
		"the key is gone from the tree",
		`![...document.querySelectorAll('.node')].some((n) => n.innerText.trim() === 'new')`,
	)
	put(t, client, "/config/deep/er/key", "")
	b.has(".tree", "deep/")
	b.press("deep/")
	b.press("er/")
	b.has(".tree", "key")
	if _, err := client.Delete(t.Context(), "/config/deep/er/key"); err != nil {
		t.Fatal(err)
	}
	b.await(
		"the branch is gone from the tree",
		`![...document.querySelectorAll('.node')].some((n) => n.innerText.trim() === 'deep/')`,
	)

	b.visit("services")
	b.has("main", "payments-1")
	put(t, client, "/fairlead/services/mail/m1", `{"service":"mail","id":"m1","addresses":["10.9.9.9:25"]}`)
	b.has("main", "10.9.9.9:25")
	b.js(`document.querySelector('section[aria-label=mail] .actions button').click()`, nil)
	b.press("Drain it")
	b.await("it drains", `document.querySelector('section[aria-label=mail]')?.innerText.includes('draining')`)
	b.js(`document.querySelector('section[aria-label=mail] .actions button.danger').click()`, nil)
	b.press("Remove it")
	b.await("it is gone", `!document.querySelector('section[aria-label=mail]')`)

	// The console restarts, or the network fails: the page shows that and reconnects.
	b.visit("overview")
	b.has("#live", "Live")
	begin := time.Now()
	if err := cluster.Members()[2].Freeze(); err != nil {
		t.Fatal(err)
	}
	defer cluster.Members()[2].Thaw()
	b.has(".tile .figure", "Member down")
	b.has("main", "2 of 3 members answer")
	t.Logf("a frozen member was shown after %v", time.Since(begin).Round(10*time.Millisecond))
	b.shot("overview-degraded")
	if err := cluster.Members()[2].Thaw(); err != nil {
		t.Fatal(err)
	}
	b.has(".tile .figure", "Healthy")
}

// TestBothThemesAndThePhone: every page is readable in both themes, by the system's choice and by
// the user's, and fits a phone.
func TestBothThemesAndThePhone(t *testing.T) {
	base, client := serve(t, cluster)
	seed(t, client)
	for _, l := range []look{
		desktop, {width: 1280, height: 860, dark: true}, phone, {width: 360, height: 740, dark: true},
	} {
		name := fmt.Sprintf("%d-%v", l.width, map[bool]string{true: "dark", false: "light"}[l.dark])
		t.Run(name, func(t *testing.T) {
			b := open(t, base, l, "overview")
			for _, page := range []string{
				"overview", "services", "keys?prefix=L2NvbmZpZy8&key=L2NvbmZpZy9vcmRlcnMuanNvbg",
				"watch?prefix=L3RlbmFudHMv", "leases", "locks", "access",
			} {
				b.visit(page)
				b.await("it is there", `!document.querySelector('main .wait')`)
				if strings.HasPrefix(page, "keys") {
					b.press("Revisions")
					b.has(".diff", "timeout")
				}
				if strings.HasPrefix(page, "watch") {
					b.has(".counts", "Watching")
					put(t, client, "/tenants/acme/users/0001", `{"id": 1, "name": "Ann"}`)
					b.has(".events", "Ann")
				}
				if b.is(`document.querySelector('.failure')`) {
					t.Errorf("%s: %s", page, b.text(".failure"))
				}
				if l.width == desktop.width &&
					b.is(`[...document.querySelectorAll('.tablebox')].some((e) => e.scrollWidth > e.clientWidth + 1)`) {
					t.Errorf("%s has a table that does not fit", page)
				}
				var wide struct {
					Page, Window int
					Who          []string
				}
				b.js(
					`({page: document.documentElement.scrollWidth, window: innerWidth, who: [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('thead, nav, .tablebox, .diff, pre, .skip, .toast')).slice(0, 5).map((e) => e.tagName + '.' + (e.getAttribute('class') || ''))})`,
					&wide,
				)
				if wide.Page > wide.Window || len(wide.Who) > 0 {
					t.Errorf("%s is %d wide in a window of %d: %v", page, wide.Page, wide.Window, wide.Who)
				}
				var faint []string
				b.js(contrast, &faint)
				for _, f := range faint {
					t.Errorf("%s: hard to read: %s", page, f)
				}
				b.js(`scrollTo(0, 0)`, nil)
				short, _, _ := strings.Cut(page, "?")
				b.shot(name + "-" + short)
			}
		})
	}
	b := open(t, base, desktop, "overview")
	background := `getComputedStyle(document.body).backgroundColor`
	var light, dark string
	b.js(background, &light)
	b.press("Auto")
	b.press("Light")
	b.js(background, &dark)
	if light == dark {
		t.Error("one's own choice of a theme changes nothing")
	}
	b.run(chromedp.Reload())
	b.await("the page", `document.querySelector('.page h1') !== null`)
	b.js(background, &light)
	if light != dark {
		t.Error("the choice of a theme is forgotten")
	}
}

// contrast lists texts with less contrast than WCAG 2.1 requires (4.5, 3 for large ones).
const contrast = `(() => {
	const rgb = (s) => (s.match(/[\d.]+/g) || []).map(Number);
	const lum = ([r, g, b]) => [r, g, b].map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
	const back = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length && (c.length < 4 || c[3] > 0.5)) return c; } return [255, 255, 255]; };
	const out = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || e.offsetParent === null || e.closest('.toast, .skip, :disabled, noscript')) continue;
		const st = getComputedStyle(e);
		const [a, b] = [lum(rgb(st.color)), lum(back(e))].sort((x, y) => y - x);
		const size = parseFloat(st.fontSize);
		const need = size >= 24 || size >= 18.6 && st.fontWeight >= 700 ? 3 : 4.5;
		if ((a + 0.05) / (b + 0.05) < need - 0.01) out.add(n.data.trim().slice(0, 40) + ' ' + ((a + 0.05) / (b + 0.05)).toFixed(2));
	}
	return [...out].slice(0, 10);
})()`

// TestWatchPage: an event shows when it arrived, its value and the value before, whatever these
// are, and changes during a pause are counted.
func TestWatchPage(t *testing.T) {
	base, client := serve(t, cluster)
	b := open(t, base, desktop, "watch?prefix="+"d2F0Y2gtcGFnZS8") // watch-page/
	b.has(".counts", "Watching")
	put(t, client, "watch-page/k", "first <b>")
	put(t, client, "watch-page/k", "second \u202e")
	if _, err := client.Delete(t.Context(), "watch-page/k"); err != nil {
		t.Fatal(err)
	}
	b.await("three events", `document.querySelectorAll('.events tbody tr .small[title]').length === 3`)
	for row, texts := range map[int][]string{
		0: {"deleted", "was second"}, 1: {"changed", "second", "was first <b>"}, 2: {"created", "first <b>"},
	} {
		for _, text := range texts {
			b.has(fmt.Sprintf(".events tbody tr:nth-child(%d)", row+1), text)
		}
		b.await(
			"a time of arrival",
			fmt.Sprintf(
				`/^\d\d:\d\d:\d\d\.\d{3}/.test(document.querySelector('.events tbody tr:nth-child(%d)').innerText.trim())`,
				row+1,
			),
		)
	}
	b.press("Pause")
	put(t, client, "watch-page/k", "unseen")
	b.await(
		"it is counted",
		`document.querySelector('#counted').innerText.startsWith('4') && document.querySelector('#dropped').innerText.startsWith('1')`,
	)
	b.has(".counts", "Paused")
	b.press("Go on")
	put(t, client, "watch-page/k", "seen")
	b.has(".events tbody tr", "seen")
	if b.is(`document.querySelector('.events tbody').innerText.includes('was unseen')`) == false {
		t.Error("the value from the pause is not shown as the one before")
	}
	if _, err := client.Delete(t.Context(), "watch-page/k"); err != nil {
		t.Fatal(err)
	}
}
