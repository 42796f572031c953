package keys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// watchOutput is the shared output of several watches.
type watchOutput struct {
	mu   sync.Mutex // guards the following
	p    *command.Printer
	rows int
}

func (o *watchOutput) write(resp *clientv3.WatchResponse, prevKV bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return printWatch(o.p, resp, prevKV, &o.rows)
}

// watchInteractive reads commands until standard input ends. It reports a line that it cannot
// parse, or a watch that ends, on standard error; the other watches go on.
func watchInteractive(ctx context.Context, a *command.App, resume bool) error {
	return a.Stream(ctx, func(ctx context.Context, c *clientv3.Client) error {
		if err := a.Reachable(ctx, c, "watch"); err != nil {
			return err
		}
		w, done := watcher(c, resume)
		defer done()
		if in, ok := a.Env.Stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			fmt.Fprintln(
				a.Env.Stderr,
				"One command per line: watch [flags] KEY [RANGE_END], or progress. Ctrl-D ends.",
			)
		}
		ctx, cancel := context.WithCancel(ctx)
		var watches sync.WaitGroup
		defer watches.Wait()
		defer cancel()
		out := &watchOutput{p: a.Printer()}
		failed := make(chan error, 1)
		return eachLine(ctx, a, failed, func(line string) {
			if line == "progress" {
				if err := w.RequestProgress(ctx); err != nil {
					fmt.Fprintln(a.Env.Stderr, "Error:", err)
				}
				return
			}
			req, err := parseWatch(line)
			if err != nil {
				fmt.Fprintln(a.Env.Stderr, "Error:", err)
				return
			}
			watches.Go(func() {
				err := watch(ctx, a, w, req, out)
				if ctx.Err() != nil {
					return
				}
				fmt.Fprintf(a.Env.Stderr, "%s: %v\n", line, err)
				if errors.Is(err, command.ErrClosedPipe) {
					select {
					case failed <- err:
					default:
					}
				}
			})
		})
	})
}

// eachLine calls do for each line of standard input that is not empty, until the input or ctx ends,
// or something has failed.
func eachLine(ctx context.Context, a *command.App, failed <-chan error, do func(string)) error {
	lines := make(chan string)
	end := make(chan error, 1)
	go func() {
		in := bufio.NewReader(a.Stdin(ctx))
		for {
			line, err := in.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				end <- err
				return
			}
		}
	}()
	for {
		select {
		case line := <-lines:
			do(line)
		case err := <-end:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// parseWatch reads "watch [flags] KEY [RANGE_END] [-- PROGRAM [ARGUMENTS]]".
func parseWatch(line string) (watchRequest, error) {
	var none watchRequest
	words, err := splitWords(line)
	if err != nil {
		return none, err
	}
	if words[0] != "watch" {
		return none, fmt.Errorf("%q is no command here: have watch and progress", words[0])
	}
	words = words[1:]
	var program []string
	if i := slices.Index(words, "--"); i >= 0 {
		words, program = words[:i], words[i+1:]
	}
	var f watchFlags
	fs := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	fs.Usage = func() {}
	f.register(fs)
	if err := fs.Parse(words); err != nil {
		return none, err
	}
	return f.request(fs.Args(), program)
}
