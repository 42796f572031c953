package discovery_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A file that was written before the clock was set back is not from the future.
func TestFileOfALaterTime(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	cluster.Members()[0].Kill()
	dir := t.TempDir()
	in := orders(t, "a")
	data, err := json.Marshal(map[string]any{
		"service": t.Name(), "at": time.Now().Add(5 * time.Hour), "revision": 7,
		"instances": map[string]any{base(t).Key(&in): in},
	})
	ok(t, "Marshal", err)
	ok(t, "WriteFile", os.WriteFile(filepath.Join(dir, t.Name()+".json"), data, 0o600))
	s := subscribe(t, directory(t, c, discovery.WithFiles(dir)))
	awaitIDs(t, s, "a")
	if st := s.Status(); st.Age < 0 || !st.Stale {
		t.Errorf("%+v", st)
	}
}
