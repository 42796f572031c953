// Chaos runs clients against a cluster of three real etcd members while members freeze, die, and
// lose their network or their leader. It checks what the clients saw against what the cluster did.
//
//	go run ./chaos -duration 2m           # a new seed, which it prints
//	go run ./chaos -duration 1m -seed 7   # the faults of an earlier run
//
// The seed decides the faults and the clients' choices. The machine decides what coincides, so it
// may take several runs to see a violation again. Checked are:
//
//   - linearizability of every key (porcupine), and over all keys that reads, writes and
//     revisions agree with what was committed and with the clocks;
//   - that every watch delivered exactly the committed events of its range, in order, once;
//   - that no lease is reported alive after it expired, and none is lost that could be renewed;
//   - that while a member is well, within 5 s the first in line gets the lock, an event is
//     delivered, an owner learns that its key was deleted, and a key that nobody wants is gone;
//   - that a mirror of the keys ends equal to them and never goes back;
//   - that every view of a service has all instances whose records are there;
//   - that calls return when their context ends, every client works again after the last fault,
//     and no goroutine is left when all are closed.
//
// Some clients go through a namespace, read from a cache of two prefixes, or compare and set by
// STM. They are judged like the others. Meanwhile operators move the leader, compact, defragment,
// change roles, delete the keys of owners and revoke leases. A run fails if a checker had too
// little to judge.
//
// With -restore the cluster goes back once to a backup that is a few seconds old. This makes two
// histories, before and after, and each has to hold by itself. Across the two, no write is
// executed again, watches report that history is lost, and the holders of what the backup does not
// have learn of it.
//
// Independent watches record what was committed, one on each member, past the faulty network. The
// exit status is 1 after a violation, whose history is then written to a file, and 2 if the run
// itself failed.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fairlead-go/fairlead/chaos/schedule"
)

// overrun is how long a run may go on after its end: healing, the last deliveries and the checks
// are bounded by less. After that something hangs, and all stacks are printed.
const overrun = 5 * time.Minute

func main() {
	length := flag.Duration("duration", 2*time.Minute, "how long the faults go on")
	seed := flag.Uint64("seed", 0, "what faults and calls are drawn from; 0: a new one")
	restore := flag.Bool("restore", false, "once, in the middle, the cluster goes back to a backup")
	file := flag.String(
		"timeline",
		"",
		"where to write the history of the run; empty: only if it fails, to chaos-SEED.jsonl in the directory for "+
			"temporary files",
	)
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(rand.Uint32()) + 1
	}
	os.Exit(chaos(*seed, *length, *restore, *file))
}

func chaos(seed uint64, length time.Duration, restore bool, file string) int {
	faults := schedule.Draw(seed, length, members)
	if restore {
		faults = schedule.WithRestore(seed, faults, length)
	}
	fmt.Printf("chaos: seed %d, %v, %d faults:\n", seed, length, len(faults))
	for _, f := range faults {
		fmt.Println(" ", f)
	}
	hung := time.AfterFunc(length+overrun, func() {
		buf := make([]byte, 16<<20)
		fmt.Printf("FAILED: seed %d: the run hangs\n%s\n", seed, buf[:runtime.Stack(buf, true)])
		os.Exit(1)
	})
	defer hung.Stop()
	r, err := run(seed, length, faults)
	if err != nil {
		fmt.Printf("chaos: seed %d: the run failed: %v\n", seed, err)
		return 2
	}
	r.print(os.Stdout)
	for _, err := range r.trouble {
		fmt.Printf("chaos: seed %d: the run failed: %v\n", seed, err)
	}
	passed := len(r.violations) == 0 && len(r.trouble) == 0
	if file == "" && !passed {
		file = filepath.Join(os.TempDir(), fmt.Sprintf("chaos-%d.jsonl", seed))
	}
	if file != "" {
		if err := r.timeline(file, faults); err != nil {
			fmt.Println("chaos: the timeline:", err)
		} else {
			fmt.Println("timeline:", file)
		}
	}
	if passed {
		fmt.Printf("\nPASSED: seed %d\n", seed)
		return 0
	}
	if len(r.violations) == 0 {
		return 2
	}
	const shown = 20
	fmt.Printf("\nFAILED: seed %d: %d violations\n", seed, len(r.violations))
	for _, v := range r.violations[:min(shown, len(r.violations))] {
		fmt.Println(" -", v)
	}
	return 1
}
