package otel_test

import (
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/fairlead-go/fairlead/adapters/otel"
)

// Without a provider there are no metrics, which is an error and no panic.
func TestMissingProviderIsAnError(t *testing.T) {
	if m, err := otel.New(nil); m != nil || err == nil || err.Error() != "otel: the provider is nil" {
		t.Errorf("New: %v, %v", m, err)
	}
	if s, err := otel.NewServices(nil); s != nil || err == nil || err.Error() != "otel: the provider is nil" {
		t.Errorf("NewServices: %v, %v", s, err)
	}
	if traces, err := otel.NewTraces(nil); traces != nil || err == nil || err.Error() != "otel: the provider is nil" {
		t.Errorf("NewTraces: %v, %v", traces, err)
	}
}

// A client that is nil does not end the program at the next collection.
func TestNilClientDoesNotEndTheProgram(t *testing.T) {
	reader := sdk.NewManualReader()
	m, err := otel.New(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Follow(nil)
	if got := values(t, reader); len(got) != 2 { // watches and leases at risk
		t.Errorf("%v", got)
	}
	m.Unfollow(nil)
}
