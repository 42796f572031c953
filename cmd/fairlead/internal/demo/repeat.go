package demo

import "github.com/fairlead-go/fairlead/clientv3"

// mayRepeat reports whether a failed put of the load is worth sending again: it may not have been executed, or its outcome is
// unknown. The client does not repeat such a put by itself, as it cannot know that the key has no other writer; we do.
func mayRepeat(err error) bool {
	return clientv3.OutcomeUnknown(err) || clientv3.SafeToRetry(err)
}
