package cli

import "io"

// pipeWriter feeds a standard input that stays open between the lines.
type pipeWriter struct {
	text chan string
	w    *io.PipeWriter
}

func newPipe() (io.Reader, *pipeWriter) {
	r, w := io.Pipe()
	p := &pipeWriter{make(chan string, 8), w}
	go func() {
		for s := range p.text {
			if _, err := io.WriteString(w, s); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r, p
}

func (p *pipeWriter) send(s string) { p.text <- s }

func (p *pipeWriter) end() { close(p.text) }
