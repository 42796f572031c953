//go:build gozero

// The example takes many modules from the module proxy, so its test has a build tag and a make
// target.

package dropin

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// frozenFor is how long each member is frozen: longer than go-zero's TTL of ten seconds.
const frozenFor = 14 * time.Second

// TestGoZero runs the program in dropin/examples/gozero with and without the replace, while one
// member after the other is frozen, among them the one that has its streams. With the replace the
// instance stays known all the time, and a new instance becomes known while the member is frozen.
// The results with the official client are only printed.
func TestGoZero(t *testing.T) {
	before, after := example(t, "gozero"), example(t, "gozero")
	after.replaced(t)
	programs := map[string]string{"official": before.build(t), "fairlead": after.build(t)}
	var all sync.WaitGroup
	for client, program := range programs {
		all.Go(func() {
			t.Run(client, func(t *testing.T) {
				o := standStill(t, program)
				t.Logf(
					"newcomers known in time: %d of %d; the instance was unknown %d times, and was gone from etcd %d "+
						"times: %v",
					o.known,
					o.came,
					o.unknown,
					o.gone,
					o.lines,
				)
				if client == "fairlead" && (o.known < o.came || o.unknown > 0 || o.gone > 0) {
					t.Error("with the drop-in the fault remains")
				}
			})
		})
	}
	all.Wait()
}

// registry is what was observed of a registry.
type registry struct {
	came, known int // instances that came while a member was frozen, and those of them that the program knew then
	unknown     int // lines of the program without its own instance
	gone        int // times that etcd had no record of the instance after a member had been frozen
	lines       []string
}

// standStill runs the program as an instance that follows itself and others.
func standStill(t *testing.T, program string) (o registry) {
	const own = "10.0.0.1:8080"
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	p := observe(t, exec.Command(program, "-endpoints", strings.Join(cluster.Endpoints(), ","), "-publish", own))
	clienttest.Await(t, "the instance", func() bool { return p.knows(own) })
	first := p.count()
	for i, m := range cluster.Members() {
		others := slices.DeleteFunc(cluster.Endpoints(), func(e string) bool { return e == m.Endpoint })
		direct := clienttest.Dial(t, others...)
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		thaw := time.NewTimer(frozenFor) // the time under test
		address := fmt.Sprintf("10.0.0.2:%d", 8080+i)
		repeat := clientv3.WithRepeat(clienttest.Within(t, clienttest.Long)) // an election loses writes
		if _, err := direct.Put(repeat, fmt.Sprint("shop.rpc/", i+1), address); err != nil {
			t.Fatal(err)
		}
		o.came++
		<-thaw.C
		if p.knows(address) {
			o.known++
		}
		got, err := direct.Get(clienttest.Within(t, clienttest.Long), "shop.rpc/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(got.Kvs, func(kv *mvccpb.KeyValue) bool { return string(kv.Value) == own }) {
			o.gone++
		}
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
		if err := cluster.WaitHealthy(clienttest.Within(t, clienttest.Long)); err != nil {
			t.Fatal(err)
		}
	}
	o.lines = p.all()
	for _, line := range o.lines[first-1:] {
		if !strings.Contains(line, own) {
			o.unknown++
		}
	}
	return o
}

// printed is what a program has printed.
type printed struct {
	mu    sync.Mutex
	lines []string
}

// observe starts a program, which is killed when the test ends.
func observe(t *testing.T, cmd *exec.Cmd) *printed {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, read := new(printed), make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-read; _ = cmd.Wait() })
	return p
}

func (p *printed) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

func (p *printed) count() int { return len(p.all()) }

// knows reports whether the last line has an address.
func (p *printed) knows(address string) bool {
	lines := p.all()
	return len(lines) > 0 && strings.Contains(lines[len(lines)-1], address)
}
