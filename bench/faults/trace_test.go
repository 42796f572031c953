package main

import (
	"errors"
	"testing"
	"time"
)

// TestFates: each way in which a write can end is counted under its name.
func TestFates(t *testing.T) {
	began, lost := time.Now(), errors.New("lost")
	at := func(made, took int, err error, revisions ...int64) *write {
		return &write{
			key: "k", made: began.Add(time.Duration(made) * time.Second), took: time.Duration(took) * time.Second,
			err: err, revisions: revisions,
			attempts: []attempt{{to: "member"}},
		}
	}
	unsent := at(50, 1, lost)
	unsent.attempts[0].to = ""
	tr := &trace{writes: map[string]*write{
		"a": at(0, 1, nil, 7),    // after the next one, which began when it had been answered
		"b": at(2, 1, nil, 5),    //
		"c": at(4, 9, nil, 9),    // concurrent with the next one: either order will do
		"d": at(5, 1, nil, 8),    //
		"e": at(20, 1, lost, 10), // executed although no answer came
		"f": at(30, 1, lost),
		"g": at(40, 1, nil),
		"h": unsent,
		"i": at(60, 1, nil, 11, 12),
	}}
	if f, want := tr.fates(), (fates{unsent: 1, executed: 1, lost: 1, twice: 1, late: 1, unkept: 1}); f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
}
