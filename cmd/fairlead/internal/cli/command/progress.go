package command

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// progressDelay: a command that takes less time needs no bar.
	progressDelay = time.Second
	progressEvery = 200 * time.Millisecond
)

// progress is one line on the terminal that shows the progress of a long command: a bar if the
// total is known, otherwise the elapsed time. It appears after a second, is redrawn in place, and
// is erased by Stop. Without a terminal it does nothing. All methods are safe for concurrent use,
// and for a nil progress.
type progress struct {
	w     io.Writer
	width func() int // of the terminal, in columns
	what  string
	start time.Time
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once

	mu         sync.Mutex // guards the following
	done, goal int64
	unit       func(int64) string
	drawn      bool
}

// ProgressIf begins a line only if it is wanted. If standard output is the same terminal, its lines
// show the progress already, and the bar would come between them.
func (a *App) ProgressIf(wanted bool, what string, unit func(int64) string) *progress {
	if !wanted {
		return nil
	}
	return a.Progress(what, unit)
}

// OnTerminal reports whether the output is a terminal.
func (a *App) OnTerminal() bool { return TerminalWidth(a.Env.Stdout) != 0 }

// Wait begins the line of a command whose total is not known.
func (a *App) Wait(what string) *progress { return a.Progress(what, nil) }

// Progress begins the line of a count, which unit formats. It ends with Stop.
func (a *App) Progress(what string, unit func(int64) string) *progress {
	if TerminalWidth(a.Env.Stderr) == 0 {
		return nil
	}
	p := &progress{
		w: a.Env.Stderr, width: func() int { return TerminalWidth(a.Env.Stderr) }, what: what, unit: unit,
		start: time.Now(), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go p.run()
	return p
}

// Set sets the count and the total; a goal of 0 is unknown.
func (p *progress) Set(done, goal int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.goal = done, goal
}

// Stop erases the line. It may be called more than once.
func (p *progress) Stop() {
	if p == nil {
		return
	}
	p.once.Do(func() { close(p.quit) })
	<-p.ended
}

func (p *progress) run() {
	defer close(p.ended)
	t := time.NewTimer(progressDelay)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.draw(time.Since(p.start))
			t.Reset(progressEvery)
		case <-p.quit:
			if p.drawn {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		}
	}
}

func (p *progress) draw(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = true
	fmt.Fprint(p.w, "\r"+p.line(took, p.width())+"\x1b[K")
}

// line returns at most width-1 columns: after the last column some terminals begin a new line.
func (p *progress) line(took time.Duration, width int) string {
	var count string
	switch {
	case p.unit == nil:
		count = took.Round(time.Second).String()
	case p.goal > 0:
		count = p.unit(p.done) + "/" + p.unit(p.goal)
	default:
		count = p.unit(p.done)
	}
	line := p.what + " " + count
	if p.goal > 0 && p.unit != nil {
		part := min(float64(p.done)/float64(p.goal), 1)
		line = fmt.Sprintf("%s %3.0f%%", line, 100*part)
		if room := min(width-1-utf8.RuneCountInString(line)-3, 40); room >= 5 {
			full := int(part * float64(room))
			line += " [" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]"
		}
	}
	if r := []rune(line); len(r) > width-1 {
		line = string(r[:max(width-1, 0)])
	}
	return line
}
