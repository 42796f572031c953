package cli

import (
	"os"
	"os/signal"
	"syscall"
)

func notifyTermination(c chan os.Signal) { signal.Notify(c, syscall.SIGTERM) }
