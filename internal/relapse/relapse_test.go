package relapse_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/relapse"
)

type lessor uint64

func (l lessor) Streams() uint64 { return uint64(l) }

// proxied is renewed through a proxy.
type proxied struct{ lessor }

func (proxied) Proxied() bool { return true }

func TestEarBehindAProxy(t *testing.T) {
	var e relapse.Ear
	h := &pb.ResponseHeader{ClusterId: 1, RaftTerm: 5, Revision: 100}
	for i, ended := range []int64{7, 0, 7, 0} {
		if got, want := e.Hear(h, proxied{}, ended), i > 0 && ended > 0; got != want {
			t.Errorf("renewal %d, a key has ended at %d: %v", i, ended, got)
		}
	}
}

func TestEarHearsARestoreAndAnotherCluster(t *testing.T) {
	var e relapse.Ear
	for i, step := range []struct {
		cluster, term uint64
		revision      int64
		streams       lessor
		want          bool
		ended         int64
	}{
		{1, 5, 100, 1, false, 0}, // the first
		{1, 5, 100, 1, false, 0},
		{1, 6, 120, 1, false, 0},
		{1, 6, 119, 1, true, 0}, // a restore, or a member that lags
		{1, 6, 120, 1, false, 0},
		{1, 2, 500, 1, true, 0}, // a restored cluster with more revisions than before
		{1, 2, 501, 1, false, 0},
		{2, 9, 900, 1, true, 0}, // another cluster
		{2, 9, 900, 1, false, 0},
		{2, 9, 900, 2, true, 0}, // a restore that only a new stream hints at
		{2, 9, 900, 2, false, 0},
		{2, 9, 950, 2, false, 950},
		{2, 9, 960, 2, true, 961}, // behind a proxy, after a key has ended
	} {
		h := &pb.ResponseHeader{ClusterId: step.cluster, RaftTerm: step.term, Revision: step.revision}
		if got := e.Hear(h, step.streams, step.ended); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if relapse.Streams(nil) != 0 {
		t.Error("streams are counted although nobody has opened one")
	}
}

func TestEndedRemembersTheLatestKeys(t *testing.T) {
	var e relapse.Ended
	if e.Rev("a") != 0 {
		t.Error("a key is known before any was noted")
	}
	e.Note("a", 5)
	e.Note("a", 7)
	if e.Rev("a") != 7 || e.Rev("b") != 0 {
		t.Errorf("a %d, b %d", e.Rev("a"), e.Rev("b"))
	}
	const all = 10_000 // as the documentation of the package's users says
	for i := range all {
		e.Note(fmt.Sprint(i), int64(i+1))
	}
	if e.Rev("a") != 0 || e.Rev("0") != 1 || e.Rev("9999") != all {
		t.Errorf("a %d, 0 %d, 9999 %d", e.Rev("a"), e.Rev("0"), e.Rev("9999"))
	}
}

// The keys that ended last are remembered, however often they ended before.
func TestKeyThatEndedAgainIsRememberedLonger(t *testing.T) {
	var e relapse.Ended
	e.Note("a", 1)
	for i := range 9_999 {
		e.Note(fmt.Sprint(i), int64(i+2))
	}
	e.Note("a", 20_000)
	e.Note("new", 20_001)
	if e.Rev("a") != 20_000 || e.Rev("new") != 20_001 || e.Rev("0") != 0 || e.Len() != 10_000 {
		t.Errorf("a %d, new %d, 0 %d of %d", e.Rev("a"), e.Rev("new"), e.Rev("0"), e.Len())
	}
}

// In a history with lower revisions, keys with revisions that were noted may be new ones.
func TestEndedBeforeALowerHistory(t *testing.T) {
	var e relapse.Ended
	e.Note("before", 500)
	e.Note("early", 3)
	notes := e.Notes()
	e.Note("meanwhile", 400)
	e.Lower(notes, 10)
	if e.Rev("before") != 10 || e.Rev("early") != 3 || e.Rev("meanwhile") != 400 {
		t.Errorf("before %d, early %d, meanwhile %d", e.Rev("before"), e.Rev("early"), e.Rev("meanwhile"))
	}
}

func TestNewestRevisionOfTheEnded(t *testing.T) {
	var e relapse.Ended
	e.Note("a", 7)
	e.Note("b", 5)
	if e.Newest() != 7 {
		t.Errorf("%d of 7 and 5", e.Newest())
	}
	was := e.Notes()
	e.Lower(was, 3)
	if e.Newest() != 3 {
		t.Errorf("%d in a history of revision 3", e.Newest())
	}
	e.Note("c", 4)
	e.Lower(was, 2)
	if e.Newest() != 4 {
		t.Errorf("%d after a note of revision 4", e.Newest())
	}
}
