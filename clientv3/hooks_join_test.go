package clientv3_test

import (
	"slices"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
)

// TestJoinHooks: all hooks are called, in their order. A hook that nobody gave is nil, so it costs
// nothing.
func TestJoinHooks(t *testing.T) {
	var calls []string
	hooks := func(name string) clientv3.Hooks {
		return clientv3.Hooks{Watch: func(w clientv3.WatchInfo) { calls = append(calls, name+" "+w.Key) }}
	}
	joined := clientv3.JoinHooks(hooks("a"), clientv3.Hooks{}, hooks("b"), clientv3.JoinHooks(), hooks("c"))
	joined.Watch(clientv3.WatchInfo{Key: "k"})
	if want := []string{"a k", "b k", "c k"}; !slices.Equal(calls, want) {
		t.Errorf("called %q, want %q", calls, want)
	}
	if joined.Attempt != nil || joined.Member != nil || joined.Stream != nil || joined.Lease != nil {
		t.Error("there are hooks that nobody gave")
	}
}
