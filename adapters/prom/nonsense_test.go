package prom_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-go/fairlead/adapters/prom"
)

// A client that is nil does not end the program at the next collection.
func TestNilClientDoesNotEndTheProgram(t *testing.T) {
	m := prom.New()
	m.Follow(nil)
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	if got, err := registry.Gather(); err != nil || len(got) != 2 { // watches and leases at risk
		t.Errorf("%v, %v", got, err)
	}
	m.Unfollow(nil)
}
