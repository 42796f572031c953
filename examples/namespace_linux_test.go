package examples

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv tells the second run of this test binary that it has a network of its own.
const insideEnv = "FAIRLEAD_EXAMPLES_NAMESPACE"

// exitNoLoopback is the exit code if there is a namespace but no right to use it, as under some
// systems' policies.
const exitNoLoopback = 97

// isolate runs this test binary again in a network namespace that has only a loopback interface.
// The programs have fixed endpoints, and on the host anyone may use those ports. ran is false if
// there are no namespaces, and in the second run.
func isolate() (code int, ran bool) {
	if os.Getenv(insideEnv) != "" {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "bring up the loopback interface:", err)
			return exitNoLoopback, true
		}
		return 0, false
	}
	// The parent-death signal follows the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		// The loopback interface is down at first. To raise it takes this one capability, which
		// the child has only in its namespace.
		AmbientCaps: []uintptr{unix.CAP_NET_ADMIN},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, false
	}
	var exit *exec.ExitError
	err := cmd.Wait()
	switch {
	case err == nil:
		return 0, true
	case errors.As(err, &exit) && exit.ExitCode() == exitNoLoopback:
		return 0, false
	default:
		fmt.Fprintln(os.Stderr, "the tests, in a network of their own:", err)
		return 1, true
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}
