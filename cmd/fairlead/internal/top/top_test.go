package top

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var begin = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func members(rev int64, applied uint64) []Member {
	return []Member{
		{
			Name:     "b",
			Endpoint: "10.0.0.2:2379",
			Leader:   true,
			Version:  "3.7.3",
			Took:     1234 * time.Microsecond,
			DB:       3 << 20,
			Quota:    2 << 30,
			Revision: rev,
			Applied:  applied,
		},
		{Name: "a", Endpoint: "10.0.0.1:2379", Err: errors.New("connection refused\x1b[2J")},
	}
}

func TestRates(t *testing.T) {
	m := New(1)
	m.Status(begin, members(100, 1000))
	if m.changes != 0 || m.requests != 0 {
		t.Error("rates after one examination")
	}
	m.Status(begin.Add(2*time.Second), members(120, 1100))
	if m.changes != 10 || m.requests != 50 {
		t.Errorf("%v changes, %v requests each second", m.changes, m.requests)
	}
	m.Status(begin.Add(3*time.Second), members(5, 5)) // the member was restored: no rate may be negative
	if m.changes != 10 || m.requests != 50 {
		t.Errorf("%v changes, %v requests each second", m.changes, m.requests)
	}
}

func TestHottest(t *testing.T) {
	m := New(2)
	for i := range 30 {
		m.Change(begin, fmt.Sprint("/orders/eu/", i))
	}
	for range 10 {
		m.Change(begin.Add(time.Second), "users/1/name")
		m.Change(begin.Add(time.Second), "flat")
		m.Change(begin.Add(time.Second), "other")
		m.Change(begin.Add(time.Second), "users/2")
		m.Change(begin.Add(time.Second), "/flat")
	}
	want := []Hot{{"/orders/eu/", 3}, {"", 2}, {"/", 1}, {"users/", 1}, {"users/1/", 1}}
	if got := m.Hottest(begin.Add(2 * time.Second)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := m.Hottest(begin.Add(10 * time.Second)); !slices.Equal(got, want[1:]) {
		t.Errorf("ten seconds later: %v", got)
	}
	if got := m.Hottest(begin.Add(time.Hour)); len(got) != 0 || m.total != 80 {
		t.Errorf("an hour later: %v, %d in all", got, m.total)
	}
}

func TestRender(t *testing.T) {
	m := New(1)
	m.Status(begin, members(100, 1000))
	m.Status(begin.Add(time.Second), members(142, 1050))
	for i := range 40 {
		m.Change(begin.Add(time.Second), fmt.Sprintf("p%02d\x1b]0;x/", i))
	}
	for range 10 {
		m.Change(begin.Add(time.Second), "flat")
	}
	m.Note("the watch was refused")
	for _, width := range []int{0, 1, 20, 40, 80, 200} {
		for _, height := range []int{0, 3, 24} {
			lines := m.Render(begin.Add(time.Second), width, height)
			if height > 0 && len(lines) > height {
				t.Errorf("%d lines on %d", len(lines), height)
			}
			for _, l := range lines {
				if width > 0 && utf8.RuneCountInString(l) > width {
					t.Errorf("%d columns: %q", width, l)
				}
				if strings.ContainsAny(l, "\x1b\n") {
					t.Errorf("control characters: %q", l)
				}
			}
		}
	}
	text := strings.Join(m.Render(begin.Add(time.Second), 100, 24), "\n")
	for _, want := range []string{
		"12:00:01  revision 142  42 changes/s  50 proposals/s",
		"! a            down     10.0.0.1:2379: connection refused", "leader", "1.23ms", "3 MiB", "50 changes seen",
		"1.0        (keys without a slash)", "! the watch was refused",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
