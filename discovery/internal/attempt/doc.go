// Package attempt runs a call that may be sent to several instances: one after the other when it
// fails, or beside each other when one is slow. It knows neither protocols nor instances: one
// function makes an attempt and returns its result.
//
// Without limits attempts are made in the caller's goroutine, one after the other. With limits each
// has a goroutine of its own, and the caller's goroutine handles the events: an attempt has begun
// (it has an instance; from then on its time counts), has ended, or its time is up. An attempt
// whose time is up is given up only when its successor has begun: where there is no other instance
// a late answer is better than none. Results of attempts that were given up, or that come after the
// end, are dropped.
package attempt
