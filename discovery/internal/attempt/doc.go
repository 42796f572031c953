// Package attempt runs a call that may be sent to several instances: one after the other when it
// fails, or beside each other when one is slow. It knows neither protocols nor instances: one
// function makes an attempt and says what has come of it.
//
// Without limits attempts are made in the caller's goroutine, one after the other. With limits
// each has a goroutine of its own, and the caller's takes what happens: an attempt has begun (it
// has an instance, from which on its time counts), has ended, or its time is up. An attempt whose
// time is up is given up only when its successor has begun: better late than nothing where there is
// no other instance. What comes from attempts that were given up, or after the end, is dropped.
package attempt
