package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestOperationsFromThePage: the page shows the plan, then the progress.
func TestOperationsFromThePage(t *testing.T) {
	own := etcdtest.Start(t, etcdtest.Options{Members: 3})
	base, client := serve(t, own, console.WithName("staging <i>"))
	put(t, client, "k", "v")
	b := open(t, base, desktop, "overview")
	b.has("main", "3 of 3 members answer")
	b.expect("409") // the refusal below

	b.press("Compact…")
	b.press("Show what it will do")
	b.has("dialog", "for good")
	b.has("dialog .cluster", "staging <i>")
	b.press("Compact it")
	b.has("dialog [role=status]", "Done.")
	b.press("Close")

	b.press("Defragment…")
	b.has("dialog li:last-child", "the leader")
	b.shot("defragment")
	b.press("Defragment them")
	b.has("dialog [role=status]", "Done.")
	b.await(
		"each says what came of it",
		`[...document.querySelectorAll('dialog .steps li')].filter((l) => /done from \d+ to \d+ bytes/.test(l.innerText)).length === 3`,
	)
	b.press("Close")

	b.press("Disarm alarms…")
	b.has(".toast", "there is no alarm")

	// Another operator is faster.
	leader := own.Leader(t)
	b.press("Move leader…")
	b.press("Show what it will do")
	b.has("dialog", "Move the leadership?")
	heir := own.Followers(t)[1]
	id, err := heir.ID(clienttest.Within(t, clienttest.Long))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.MoveLeader(clienttest.Within(t, clienttest.Long), id); err != nil {
		t.Fatal(err)
	}
	b.press("Move it")
	b.has("dialog [role=status]", "has changed since it was shown; nothing was done")
	b.press("Close")
	if now := own.Leader(t); now.Name == leader.Name {
		t.Errorf("%s leads still", now.Name)
	}

	b.press("Add member…")
	b.enter("dialog input", "nonsense")
	b.expect("400")
	b.press("Show what it will do")
	b.has(".toast", "is not a peer URL")

	b.press("Remove member…")
	b.press("Show what it will do")
	b.has("dialog", "survive no more failures")
	b.visit("keys") // the dialog closes with its page
	b.await("the dialog is gone", `!document.querySelector('dialog')`)
}

// TestASnapshotFromThePage comes as a file, and its address is valid once.
func TestASnapshotFromThePage(t *testing.T) {
	base, client := serve(t, cluster)
	put(t, client, "k", "v")
	b := open(t, base, desktop, "overview")
	dir := t.TempDir()
	b.run(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
			BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
		})
		return err
	}))
	b.press("Download a snapshot…")
	b.has("dialog", "protect it as you protect the cluster")
	b.press("Download it")
	clienttest.Await(t, "the file", func() bool {
		names, err := filepath.Glob(filepath.Join(dir, "etcd-*.db"))
		if err != nil || len(names) != 1 {
			return false
		}
		st, err := os.Stat(names[0])
		return err == nil && st.Size()%512 == 32 && st.Size() > 16<<10 // the database and its digest
	})
	b.visit("audit")
	b.has("tbody", "snapshot")
	b.has("tbody", "done")
}
