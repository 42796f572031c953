package services

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// dropStart gives back the pages of the program's own file that are in memory. Most of them are for
// the start alone: it initializes the packages of all commands, those of etcd's server among them.
// Pages that are needed again come back from the system's cache, without a read of the disk. Else
// they would stay until the system lacks memory.
func dropStart() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range clean(bufio.NewScanner(f), program) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED) // else they stay
	}
}

// mapping is a part of the address space.
type mapping struct{ from, to uintptr }

// clean returns the mappings of a file, of those that smaps lists, that are as the file is: they
// cannot be written, and have no page that was, by a linker, say.
func clean(smaps *bufio.Scanner, file string) (list []mapping) {
	var m mapping
	for smaps.Scan() {
		line := smaps.Text()
		if name, kb, ok := strings.Cut(line, ":"); ok && !strings.Contains(name, " ") {
			if name == "Anonymous" && m.to > 0 && strings.TrimSpace(kb) == "0 kB" {
				list = append(list, m)
			}
			continue
		}
		m = mapping{}
		fields := strings.SplitN(line, " ", 6) // addresses, rights, offset, device, inode, path
		if len(fields) < 6 || strings.TrimSpace(fields[5]) != file || strings.Contains(fields[1], "w") {
			continue
		}
		var from, to uintptr
		if n, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err == nil && n == 2 {
			m = mapping{from, to}
		}
	}
	return list
}
