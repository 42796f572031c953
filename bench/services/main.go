// Services compares what following a service costs: go-kit's Instancer, the one of our
// drop-in, and a subscription of package discovery. Each is a process of its own; all follow
// the same prefix while instances are registered one after the other.
//
//	go run ./services                    # 5,000 instances, 2 ms apart
//	go run ./services -instances 500
//
// Printed is the processor time of each follower from its first view to its last.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	prefix = "/services/foosvc/"
	// settle is how long the followers may take for the last change.
	settle = time.Minute
)

func main() {
	n := flag.Int("instances", 5000, "how many are registered")
	gap := flag.Duration("gap", 2*time.Millisecond, "between two")
	child := flag.String("follow", "", "follow as this kind; for the program itself")
	endpoint := flag.String("endpoint", "", "where etcd is; for the program itself")
	flag.Parse()
	err := error(nil)
	if *child != "" {
		err = follow(*child, *endpoint, *n)
	} else {
		err = run(*n, *gap)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

// follow is a child: it says "ready" with its first view, and its processor time when it
// has seen n instances.
func follow(kind, endpoint string, n int) error {
	follower, ok := followers[kind]
	if !ok {
		return fmt.Errorf("no follower %q", kind)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var begin time.Duration
	return follower(ctx, endpoint, func(count int) bool {
		if begin == 0 {
			fmt.Println("ready")
			begin = load.ProcessorTime()
		}
		if count >= n {
			fmt.Println(int64(load.ProcessorTime() - begin))
		}
		return count < n
	})
}

// started is a child under way.
type started struct {
	kind string
	cmd  *exec.Cmd
	out  *bufio.Reader
}

func start(kind, endpoint string, n int) (*started, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-follow", kind, "-endpoint", endpoint, "-instances", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &started{kind: kind, cmd: cmd, out: bufio.NewReader(out)}
	t := time.AfterFunc(settle, func() { _ = cmd.Process.Kill() })
	defer t.Stop()
	line, err := s.out.ReadString('\n')
	if err != nil || line != "ready\n" {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("%s: %q, %w", kind, line, errors.Join(err, cmd.Wait()))
	}
	return s, nil
}

// result waits for the child's figure.
func (s *started) result() (time.Duration, error) {
	t := time.AfterFunc(settle, func() { _ = s.cmd.Process.Kill() })
	defer t.Stop()
	line, err := s.out.ReadString('\n')
	if err := errors.Join(err, s.cmd.Wait()); err != nil {
		return 0, fmt.Errorf("%s: %w", s.kind, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(ns), err
}

func run(n int, gap time.Duration) error {
	cluster, err := etcdtest.StartMain(etcdtest.Options{})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	endpoint := cluster.Endpoints()[0]
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer c.Close()
	put := func(i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), settle)
		defer cancel()
		_, err := c.Put(ctx, fmt.Sprintf("%s%05d", prefix, i), fmt.Sprintf("http://10.0.%d.%d:8080", i/256, i%256))
		return err
	}
	if err := put(0); err != nil { // go-kit says nothing of an empty service
		return err
	}
	kinds := []string{"go-kit Instancer", "our drop-in's Instancer", "discovery.Subscription"}
	var children []*started
	for _, kind := range kinds {
		s, err := start(kind, endpoint, n)
		if err != nil {
			return err
		}
		children = append(children, s)
	}
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for i := 1; i < n; i++ {
		<-tick.C
		if err := put(i); err != nil {
			return err
		}
	}
	fmt.Printf("etcd %s, %d instances registered %v apart\n\n", cluster.Version(), n, gap)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "follower\tprocessor time\tper change\tof go-kit's")
	var first time.Duration
	for _, s := range children {
		took, err := s.result()
		if err != nil {
			return err
		}
		if first == 0 {
			first = took
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t1/%.1f\n", s.kind, took.Round(time.Millisecond), (took / time.Duration(n)).Round(100*time.Nanosecond), float64(first)/float64(max(took, 1)))
	}
	return w.Flush()
}
