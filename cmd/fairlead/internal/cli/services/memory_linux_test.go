package services

import (
	"bufio"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestCleanMappings(t *testing.T) {
	part := func(head, anonymous string) string {
		return head + "\nSize:                  8 kB\nRss:                   8 kB\n" +
			"Anonymous:             " + anonymous + " kB\nVmFlags: rd mr mw me \n"
	}
	const program = "                     /opt/a b/fairlead"
	smaps := part("400000-401000 r-xp 00000000 fe:00 247026"+program, "0") +
		part("401000-402000 r--p 00001000 fe:00 247026"+program, "4") + // a linker wrote it
		part("402000-403000 r--p 00002000 fe:00 247026"+program, "0") +
		part("403000-404000 rw-p 00003000 fe:00 247026"+program, "0") +
		part("c000000000-c000400000 rw-p 00000000 00:00 0", "0") +
		part("7f0000000000-7f0000001000 r-xp 00000000 fe:00 2470                     /lib/libc.so", "0") +
		part("7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0                          [vdso]", "0")
	got := clean(bufio.NewScanner(strings.NewReader(smaps)), strings.TrimSpace(program))
	if want := []mapping{{0x400000, 0x401000}, {0x402000, 0x403000}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// The program goes on, with less of its file in memory.
func TestDropStart(t *testing.T) {
	resident := func() int {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(text)
		if m == nil {
			t.Fatal("the system does not report how much of a file is in memory, which Linux does since 4.5")
		}
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	before := resident()
	dropStart()
	if after := resident(); after >= before {
		t.Errorf("%d kB of the file before, %d after", before, after)
	} else {
		t.Logf("%d kB of the file before, %d after", before, after)
	}
}
