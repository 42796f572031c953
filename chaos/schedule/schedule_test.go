package schedule

import (
	"reflect"
	"testing"
	"time"
)

func TestSameSeedSameSchedule(t *testing.T) {
	a, b := Draw(7, 2*time.Minute, 3), Draw(7, 2*time.Minute, 3)
	if !reflect.DeepEqual(a, b) {
		t.Error("two schedules of one seed differ")
	}
	if reflect.DeepEqual(a, Draw(8, 2*time.Minute, 3)) {
		t.Error("two seeds gave one schedule")
	}
}

func TestSchedulesAreBounded(t *testing.T) {
	for seed := range uint64(200) {
		const length = time.Minute
		seen := make(map[Kind]bool)
		var free time.Duration // when the last fault of members has ended
		minority, members := 0, 0
		for _, f := range Draw(seed, length, 3) {
			seen[f.Kind] = true
			if f.At < Warm || f.At+f.For > length-Calm {
				t.Errorf("seed %d: %v is outside the run", seed, f)
			}
			if !f.Of() {
				continue
			}
			if f.At < free {
				t.Errorf("seed %d: %v begins before the one before it ended", seed, f)
			}
			free = f.At + f.For
			members++
			if f.Scope == One || f.Scope == Leader {
				minority++
			}
		}
		for _, k := range append(memberKinds, operatorKinds...) {
			if !seen[k] {
				t.Errorf("seed %d: no %s in a minute", seed, k)
			}
		}
		if 2*minority < members {
			t.Errorf("seed %d: %d of %d faults hit a minority only", seed, minority, members)
		}
	}
}

func TestShortRunsHaveNoFaults(t *testing.T) {
	for _, d := range []time.Duration{0, time.Second, 2 * time.Second} {
		if l := Draw(1, d, 3); len(l) != 0 {
			t.Errorf("%v: %v", d, l)
		}
	}
}

func TestOneRestore(t *testing.T) {
	renamed := make(map[bool]bool)
	for seed := range uint64(50) {
		restores := 0
		for _, f := range WithRestore(seed, Draw(seed, time.Minute, 3), time.Minute) {
			if f.Kind != Restore {
				continue
			}
			restores++
			renamed[f.Renamed] = true
			if f.At < 30*time.Second || f.For < minLost || f.For > maxLost {
				t.Errorf("seed %d: %v", seed, f)
			}
		}
		if restores != 1 {
			t.Errorf("seed %d: %d restores", seed, restores)
		}
	}
	if len(renamed) != 2 {
		t.Error("the id stays always, or never")
	}
}
