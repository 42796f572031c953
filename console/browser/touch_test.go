package browser

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// reach finds an element as a screen reader does, by its role and name, and returns its place.
func (b *tab) reach(role, name string) (x, y float64) {
	b.t.Helper()
	node := ask(b, func(ctx context.Context, t *chromedp.Target) (n *accessibility.Node, err error) {
		root, err := cdp.Call(ctx, t, dom.GetDocument, dom.GetDocumentParams{})
		if err != nil {
			return nil, err
		}
		q := accessibility.QueryAXTreeParams{NodeID: root.Root.NodeID, Role: role, AccessibleName: name}
		found, err := cdp.Call(ctx, t, accessibility.QueryAXTree, q)
		if err != nil {
			return nil, err
		}
		for _, n := range found.Nodes {
			if !n.Ignored {
				return n, nil
			}
		}
		return nil, fmt.Errorf("there is no %s named %q", role, name)
	})
	box := ask(b, func(ctx context.Context, t *chromedp.Target) (dom.GetBoxModelResult, error) {
		id := node.BackendDOMNodeID
		_, err := cdp.Call(ctx, t, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: id})
		if err != nil {
			return dom.GetBoxModelResult{}, err
		}
		return cdp.Call(ctx, t, dom.GetBoxModel, dom.GetBoxModelParams{BackendNodeID: id})
	})
	q := box.Model.Border
	return (q[0] + q[4]) / 2, (q[1] + q[5]) / 2
}

// tap touches the screen, as a screen reader does to activate its element.
func (b *tab) tap(x, y float64) {
	b.t.Helper()
	b.run(func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
		down := input.DispatchTouchEventParams{
			Type: input.DispatchTouchEventTypeTouchStart, TouchPoints: []*input.TouchPoint{{X: x, Y: y}},
		}
		if _, err = cdp.Call(ctx, t, input.DispatchTouchEvent, down); err != nil {
			return none, err
		}
		up := input.DispatchTouchEventParams{
			Type: input.DispatchTouchEventTypeTouchEnd, TouchPoints: []*input.TouchPoint{},
		}
		_, err = cdp.Call(ctx, t, input.DispatchTouchEvent, up)
		return none, err
	})
}

// TestMarksByTouch: the user of a screen reader finds by touch a box with a name for each key, in
// the tree and among the hits, and marks several.
func TestMarksByTouch(t *testing.T) {
	base, client := serve(t, cluster)
	prefix := "touch/" + t.Name() + "/"
	for _, name := range []string{"a", "b\u202e", "c", "d/e"} {
		put(t, client, prefix+name, "v")
	}
	b := open(t, base, phone, "keys?prefix="+b64(prefix))
	b.press("Mark several")
	b.await("there are boxes", `document.querySelectorAll('.marker').length === 3`)
	b.tap(b.reach("checkbox", "Mark "+prefix+"a"))
	b.has(".marks", "1 marked")
	b.tap(b.reach("checkbox", "Mark "+prefix+`b\u{202e}`))
	b.has(".marks", "2 marked")
	b.press("d/")
	b.await("a box below", `document.querySelectorAll('.marker').length === 4`)
	b.tap(b.reach("checkbox", "Mark "+prefix+"d/e"))
	b.has(".marks", "3 marked")
	b.examineBoth("marked by touch")
	b.tap(b.reach("checkbox", "Mark "+prefix+"a"))
	b.has(".marks", "2 marked")

	b.visit("keys?prefix=" + b64(prefix) + "&find=" + b64("c"))
	b.await("what was found has boxes", `document.querySelectorAll('.hits .marker').length > 0`)
	b.tap(b.reach("checkbox", "Mark "+prefix+"c"))
	b.has(".marks", "1 marked")
	b.examineBoth("marked by touch, found")
	b.press("Delete them…")
	b.has("dialog", "Delete these keys")
}
