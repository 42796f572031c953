package discovery

import "time"

// Limits ask clients of a service to keep to some bounds. The zero Limits ask for nothing. Package
// [github.com/fairlead-go/fairlead/xds] passes them on to its clients (circuit breaking and outlier
// detection); package [github.com/fairlead-go/fairlead/discovery/pick] ignores them and finds its
// own.
type Limits struct {
	// Requests is how many calls a client may have under way at once; further calls fail. 0 is no
	// limit.
	Requests int `json:"requests,omitempty"`
	// Failures is the percentage of failed calls above which an instance is ejected, 1 to 99; 0
	// ejects none.
	Failures int `json:"failures,omitempty"`
	// Calls is how many calls a client must have made to an instance within 10 s to judge it; 0
	// stands for [DefaultJudgedCalls].
	Calls int `json:"calls,omitempty"`
	// Seconds is how long an instance is ejected at first, longer each time; 0 stands for
	// [DefaultEjected].
	Seconds int `json:"seconds,omitempty"`
}

const (
	// DefaultJudgedCalls is few enough for a service with few calls, and too many to judge by one
	// failure.
	DefaultJudgedCalls = 20
	// DefaultEjected is the default of Envoy and gRPC.
	DefaultEjected = 30 * time.Second

	maxLimit   = 1 << 30 // calls; fits into 32 bits
	maxEjected = 3600    // seconds
)

// Validate returns what is wrong with the limits, nil if nothing is. The error wraps [ErrInvalid].
func (l Limits) Validate() error {
	for _, x := range []struct {
		name       string
		value, max int
	}{
		{"requests", l.Requests, maxLimit}, {"failures", l.Failures, 99}, {"calls", l.Calls, maxLimit},
		{"seconds", l.Seconds, maxEjected},
	} {
		if x.value < 0 || x.value > x.max {
			return invalid("the limit %s is %d, not within 0 and %d", x.name, x.value, x.max)
		}
	}
	if l.Failures == 0 && (l.Calls > 0 || l.Seconds > 0) {
		return invalid("limits without failures eject nobody, so calls and seconds say nothing")
	}
	return nil
}
