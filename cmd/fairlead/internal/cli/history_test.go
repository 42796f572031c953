package cli

import (
	"context"
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestHistory(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := &cmd{t: t, endpoint: cl.Endpoints()[0]}
	client := clienttest.Dial(t, cl.Endpoints()...)
	ctx := context.Background()
	var revs []int64
	step := func(do func() (int64, error)) {
		t.Helper()
		rev, err := do()
		if err != nil {
			t.Fatal(err)
		}
		revs = append(revs, rev)
	}
	put := func(key, value string) func() (int64, error) {
		return func() (int64, error) {
			r, err := client.Put(ctx, key, value)
			if err != nil {
				return 0, err
			}
			return r.Header.Revision, nil
		}
	}
	step(put("k", "one"))
	step(put("other", "x"))
	step(put("k", "two"))
	step(func() (int64, error) {
		r, err := client.Delete(ctx, "k")
		if err != nil {
			return 0, err
		}
		return r.Header.Revision, nil
	})
	want := lines(fmt.Sprint(revs[0], "\tone"), fmt.Sprint(revs[2], "\ttwo"), fmt.Sprint(revs[3], "\t(deleted)"))
	c.want(want, "history", "k") // the key does not exist any more
	step(put("k", "three"))
	want += fmt.Sprintln(fmt.Sprint(revs[4], "\tthree"))
	c.want(want, "history", "k")
	c.want(fmt.Sprintln(fmt.Sprint(revs[4], "\tthree")), "history", "k", "--limit", "1")
	c.want("", "history", "none")
	if _, err := client.Compact(ctx, revs[2]); err != nil {
		t.Fatal(err)
	}
	c.want(lines(
		fmt.Sprintf("(history begins at revision %d: all before it was compacted)", revs[2]),
		fmt.Sprint(
			revs[2],
			"\ttwo",
		),
		fmt.Sprint(revs[3], "\t(deleted)"),
		fmt.Sprint(revs[4], "\tthree"),
	), "history", "k")
	c.wantFailure(command.ExitUsage, "the key is empty", "history", "")
	c.wantFailure(command.ExitUsage, "needs a key", "history")
}
