package cluster

import "testing"

func TestDeviation(t *testing.T) {
	if d := deviation([]float64{1, 3}); d != 1 {
		t.Error(d)
	}
	if d := deviation(nil); d != 0 {
		t.Error(d)
	}
}
