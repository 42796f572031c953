package relapse_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/relapse"
)

type lessor uint64

func (l lessor) Streams() uint64 { return uint64(l) }

func TestEarHearsARestoreAndAnotherCluster(t *testing.T) {
	var e relapse.Ear
	for i, step := range []struct {
		cluster, term uint64
		revision      int64
		streams       lessor
		want          bool
	}{
		{1, 5, 100, 1, false}, // the first
		{1, 5, 100, 1, false},
		{1, 6, 120, 1, false},
		{1, 6, 119, 1, true}, // a restore, or a member that lags
		{1, 6, 120, 1, false},
		{1, 2, 500, 1, true}, // a restored cluster with more revisions than before
		{1, 2, 501, 1, false},
		{2, 9, 900, 1, true}, // another cluster
		{2, 9, 900, 1, false},
		{2, 9, 900, 2, true}, // a restore that only a new stream hints at
		{2, 9, 900, 2, false},
	} {
		h := &pb.ResponseHeader{ClusterId: step.cluster, RaftTerm: step.term, Revision: step.revision}
		if got := e.Hear(h, step.streams); got != step.want {
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
