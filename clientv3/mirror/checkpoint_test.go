package mirror

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestLateWriteDoesNoHarm: a transaction that was given up does no harm when it is executed late,
// before or after the mirror has continued.
func TestLateWriteDoesNoHarm(t *testing.T) {
	c, err := clientv3.New(clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := c.Delete(ctx, "late/", clientv3.WithPrefix()); err != nil { // of an earlier run
		t.Fatal(err)
	}
	mark := checkpoint{key: "late/mark", state: state{Writer: 1}}
	write := func(m *checkpoint, rev int64, val string) error {
		return m.commit(ctx, c, position{Revision: rev, Complete: true}, []clientv3.Op{clientv3.OpPut("late/key", val)})
	}
	value := func() string {
		r, err := c.Get(ctx, "late/key")
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Kvs[0].Value)
	}
	if err := write(&mark, 1, "one"); err != nil {
		t.Fatal(err)
	}

	late := mark // an attempt whose answer has not arrived
	if err := write(&late, 2, "late"); err != nil {
		t.Fatal(err)
	}
	mark.state.Seq++ // the attempt counts
	if err := write(&mark, 2, "two"); err != errLate {
		t.Errorf("a write after a late one: %v", err)
	}
	if _, _, _, err := mark.load(ctx, c); err != nil || mark.state.Revision != 2 {
		t.Fatalf("%+v, %v", mark, err)
	}
	stale := mark
	if err := write(&mark, 3, "three"); err != nil {
		t.Fatal(err)
	}
	if err := write(&stale, 2, "stale"); err == nil || value() != "three" {
		t.Errorf("a late write won: %v, %q", err, value())
	}

	other := checkpoint{key: "late/mark", state: state{Writer: 2}}
	if _, _, _, err := other.load(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := write(&other, 4, "other"); err != nil {
		t.Fatal(err)
	}
	if err := write(&mark, 4, "four"); err != ErrConflict || value() != "other" {
		t.Errorf("two writers: %v, %q", err, value())
	}
}
