package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/top"
)

const topHelp = `Show the members, the load of the cluster and the prefixes that change most, until q or Ctrl-C.

Changes and proposals (writes, grants, revocations: all that the members agree on) are those of the
whole cluster. The hottest prefixes come from a watch on PREFIX (on all keys without one), which
costs the cluster as much as any watch on so many changes. The parts of a key end with a slash, and
--depth of them make a prefix. A key counts for the prefix that it lies in, never for itself. On a
terminal the view is redrawn in place; elsewhere each view is written below the last.`

type topFlags struct {
	interval time.Duration
	depth    int
	count    int
	noWatch  bool
}

func topCommand(a *command.App) *cobra.Command {
	var f topFlags
	c := &cobra.Command{
		Use:     "top [PREFIX]",
		Short:   "Watch the members, request rates and the hottest prefixes",
		Example: "  fairlead top\n  fairlead top orders/ --depth 3",
		Long:    topHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return command.Usage(errors.New("top takes one prefix"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.interval < 100*time.Millisecond || f.depth < 1 || f.count < 0 {
				return command.Usage(errors.New("--interval is at least 100ms, --depth at least 1, --count at least 0"))
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, "top"); err != nil {
					return err
				}
				err := runTop(ctx, a, c, strings.Join(args, ""), f)
				if errors.Is(err, errQuit) {
					return nil
				}
				return err
			})
		},
	}
	fs := c.Flags()
	fs.DurationVar(&f.interval, "interval", time.Second, "how often to update the view")
	fs.IntVar(&f.depth, "depth", 2, "how many parts of a key make a prefix")
	fs.IntVar(&f.count, "count", 0, "stop after this many views (0: go on)")
	fs.BoolVar(&f.noWatch, "no-watch", false, "show no hottest prefixes, and watch nothing")
	return c
}

// errQuit ends the run when q is pressed.
var errQuit = errors.New("q was pressed")

func runTop(ctx context.Context, a *command.App, c *clientv3.Client, prefix string, f topFlags) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	screen, err := newScreen(a, cancel)
	if err != nil {
		return err
	}
	defer screen.leave()
	m := top.New(f.depth)
	var events clientv3.WatchChan
	if f.noWatch {
		m.Note("not watched (--no-watch)")
	} else {
		events = c.Watch(ctx, prefix, clientv3.WithPrefix())
	}
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	for shown := 0; ; {
		m.Status(time.Now(), statusOfAll(ctx, c, f.interval))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := screen.draw(m.Render(time.Now(), screen.width(), screen.height())); err != nil {
			return err
		}
		if shown++; shown == f.count {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case r, ok := <-events:
				if !ok || r.Err() != nil {
					events = nil
					m.Note("changes cannot be watched: " + fmt.Sprint(r.Err()))
				}
				for _, e := range r.Events {
					m.Change(time.Now(), string(e.Kv.Key))
				}
			case <-tick.C:
				waiting = false
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// statusOfAll asks every member that the cluster lists, or every endpoint if there is no list.
func statusOfAll(ctx context.Context, c *clientv3.Client, limit time.Duration) []top.Member {
	ctx, cancel := context.WithTimeout(ctx, max(limit, time.Second))
	defer cancel()
	var list []top.Member
	if resp, err := c.MemberList(ctx, clientv3.WithSerializable()); err == nil {
		for _, m := range resp.Members {
			if len(m.ClientURLs) > 0 {
				list = append(list, top.Member{Name: m.Name, Endpoint: m.ClientURLs[0], Learner: m.IsLearner})
			}
		}
	}
	if len(list) == 0 {
		for _, e := range c.Endpoints() {
			list = append(list, top.Member{Endpoint: e})
		}
	}
	var wg sync.WaitGroup
	for i := range list {
		m := &list[i]
		wg.Go(func() {
			began := time.Now()
			st, err := c.Status(ctx, m.Endpoint)
			m.Took, m.Err = time.Since(began), err
			if err == nil {
				m.Leader, m.Version, m.DB, m.Quota = st.Leader != 0 &&
					st.Leader == st.Header.MemberId, st.Version, st.DbSize, st.DbSizeQuota
				m.Revision, m.Applied = st.Header.Revision, st.RaftAppliedIndex
			}
		})
	}
	wg.Wait()
	return list
}

// screen is where a view is drawn: in place on a terminal, otherwise each view below the one
// before.
type screen struct {
	out     io.Writer
	file    *os.File // nil if out is not a terminal
	restore func()
}

// newScreen takes over the terminal, if there is one, until leave. It calls quit when the user ends
// the run.
func newScreen(a *command.App, quit func(error)) (*screen, error) {
	s := &screen{out: a.Env.Stdout, restore: func() {}}
	if command.TerminalWidth(a.Env.Stdout) == 0 {
		return s, nil
	}
	s.file, _ = a.Env.Stdout.(*os.File)
	if in, ok := a.Env.Stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, err
		}
		s.restore = func() { _ = term.Restore(int(in.Fd()), old) }
		go func() { // ends with the process at the latest: a read from a terminal cannot be cancelled
			key := make([]byte, 1)
			for {
				n, err := in.Read(key)
				switch {
				case err != nil || n == 1 && (key[0] == 'q' || key[0] == 'Q'):
					quit(errQuit)
					return
				case n == 1 && key[0] == 3: // Ctrl-C, which is not a signal in raw mode
					quit(command.InterruptedError{Signal: syscall.SIGINT})
					return
				}
			}
		}()
	}
	if _, err := io.WriteString(s.out, "\x1b[?1049h\x1b[?25l"); err != nil {
		s.restore()
		return nil, err
	}
	return s, nil
}

func (s *screen) leave() {
	if s.file != nil {
		_, _ = io.WriteString(s.out, "\x1b[?25h\x1b[?1049l")
	}
	s.restore()
}

func (s *screen) width() int {
	if s.file == nil {
		return 0
	}
	return command.TerminalWidth(s.out)
}

func (s *screen) height() int {
	if s.file == nil {
		return 0
	}
	_, h, err := term.GetSize(int(s.file.Fd()))
	if err != nil {
		return 24
	}
	return h
}

func (s *screen) draw(lines []string) error {
	text := strings.Join(lines, "\n") + "\n\n"
	if s.file != nil {
		text = "\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J"
	}
	_, err := io.WriteString(s.out, text)
	return err
}
