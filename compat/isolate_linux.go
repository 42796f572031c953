package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// childAttr gives the child process a network of its own if this program runs as root, and ends
// the child with this program.
func childAttr() (attr *syscall.SysProcAttr, isolated bool) {
	attr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if os.Geteuid() == 0 {
		attr.Cloneflags = syscall.CLONE_NEWNET
	}
	return attr, attr.Cloneflags != 0
}

// loopbackUp switches on the loopback interface, which is down in a new network.
func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer syscall.Close(fd)
	var req struct { // struct ifreq of netdevice(7)
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "lo")
	req.flags = syscall.IFF_UP
	_, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&req)))
	if e != 0 {
		return fmt.Errorf("loopback: %w", e)
	}
	return nil
}
