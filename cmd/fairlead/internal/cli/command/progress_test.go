package command

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestProgressLine(t *testing.T) {
	p := &progress{what: "snapshot", unit: BytesText}
	p.Set(5_000_000, 10_000_000)
	if got, want := p.line(0, 60), "snapshot 5.0 MB/10 MB  50% [###############...............]"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for width := range 100 {
		if n := utf8.RuneCountInString(p.line(0, width)); n >= max(width, 1) && width > 0 {
			t.Errorf("%d columns on a terminal of %d", n, width)
		}
	}
	p.Set(20, 0)
	if got := p.line(0, 40); got != "snapshot 20 B" {
		t.Error(got)
	}
	if got := (&progress{what: "compacting"}).line(2*time.Second, 40); got != "compacting 2s" {
		t.Error(got)
	}
	a := &App{Env: Env{Stderr: &strings.Builder{}}}
	bar := a.Wait("nothing") // no terminal
	bar.Set(1, 2)
	bar.Stop()
}

func TestProgressIsErased(t *testing.T) {
	var out strings.Builder
	p := &progress{
		w:     &out,
		width: func() int { return 40 },
		what:  "waiting",
		start: time.Now(),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	p.draw(time.Second)
	go p.run()
	p.Stop()
	p.Stop()
	if got := out.String(); !strings.HasPrefix(got, "\rwaiting 1s") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
}
