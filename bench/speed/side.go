package main

import (
	"github.com/fairlead-go/fairlead/bench/speed/fairlead"
	"github.com/fairlead-go/fairlead/bench/speed/official"
	"github.com/fairlead-go/fairlead/bench/speed/side"
)

// both makes the two clients, the official one first.
func both(endpoints []string, do func(sides [2]*side.Side) error) error {
	their, err := official.New(endpoints)
	if err != nil {
		return err
	}
	defer their.Close()
	mine, err := fairlead.New(endpoints)
	if err != nil {
		return err
	}
	defer mine.Close()
	return do([2]*side.Side{their, mine})
}
