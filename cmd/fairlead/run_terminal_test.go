package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The terminal of programs that run under run, lock or elect, below a shell and without one.

// ctrlZ stops the program in front. That must be none that starts commands meanwhile: some shells
// do so with vfork, and if the child is stopped before it becomes the command, its parent waits for
// it and does not stop.
const ctrlZ = "\x1a"

// shell is an interactive shell on a terminal, with functions for the commands that run a program.
func shell(t *testing.T, endpoint string) *terminal {
	t.Helper()
	t.Setenv("ENV", profile(t, endpoint))
	p := startTerminal(t, 500, 24, "sh", "-i")
	p.await("ready> ")
	return p
}

// profile writes a file with these functions.
func profile(t *testing.T, endpoint string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "profile")
	text := "set -m\nPS1='ready> '\nf() { '" + program + "' --endpoints " + endpoint + " \"$@\"; }\n"
	for name, args := range supervisors(endpoint) {
		text += "run_" + name + "() { '" + program + "' " + strings.Join(args, " ") + " \"$@\"; }\n"
	}
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return script
}

// enter types a line and waits for its output; the echo of the line does not count.
func (p *terminal) enter(line, until string) {
	p.t.Helper()
	before := len(p.output())
	p.typed(line + "\r")
	p.awaitAfter(before+len(line), until)
}

// awaitAfter waits for a text after a place in the output.
func (p *terminal) awaitAfter(before int, text string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for out := ""; len(out) <= before || !strings.Contains(out[before:], text); <-tick.C {
		if out = p.output(); time.Now().After(deadline) {
			p.t.Fatalf("no %q behind %d of %q", text, before, out)
		}
	}
}

// press types a key and waits for its effect.
func (p *terminal) press(key, until string) {
	p.t.Helper()
	before := len(p.output())
	p.typed(key)
	p.awaitAfter(before, until)
}

// number is the last number behind a word in the output, with a full stop after it.
func (p *terminal) number(word string) int {
	p.t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(word)+`(\d+)\.`).FindAllStringSubmatch(p.output(), -1)
	if found == nil {
		p.t.Fatalf("no number behind %q in %q", word, p.output())
	}
	number, err := strconv.Atoi(found[len(found)-1][1])
	if err != nil {
		p.t.Fatal(err)
	}
	return number
}

func (p *terminal) foreground() int {
	p.t.Helper()
	group, err := unix.IoctlGetInt(int(p.side.Fd()), unix.TIOCGPGRP)
	if err != nil {
		p.t.Fatal(err)
	}
	return group
}

// Ctrl-C reaches the program, not the command, which ends when the program does; then the shell has
// the terminal again.
func TestTerminalCtrlC(t *testing.T) {
	endpoint := server(t)
	p := shell(t, endpoint)
	for name := range supervisors(endpoint) {
		p.enter(
			"run_"+name+
				` sh -c 'trap "echo to""ld; exit 9" INT; echo be""gan; while :; do sleep 0.05; done'; echo "st""atus $?"`,
			"began",
		)
		p.press(ctrlC, "status 9")
		p.enter("run_"+name+` sh -c 'echo be""gan; exec sleep 1000'; echo "st""atus $?"`, "began")
		p.press(ctrlC, "ready> ")
		p.enter("run_"+name+` sh -c 'read line; echo "got <$line>"'`+"\rhello\r"+`echo "st""atus $?"`, "status 0")
		p.awaitAfter(0, "got <hello>")
		p.enter("run_"+name+` sh -c 'kill -9 $$'; echo "st""atus $?"`, "status 137")
		p.enter("run_"+name+` /nosuch; echo "st""atus $?"`, "status 127")
	}
	if keys := ctl(t, endpoint, "get", "--prefix", "", "--keys-only"); keys != "" {
		t.Errorf("left: %s", keys)
	}
	p.typed("exit\r")
	p.wait()
}

// Ctrl-Z stops the program and the command, fg continues both in the foreground, bg in the
// background; kill ends jobs.
func TestTerminalJobControl(t *testing.T) {
	endpoint := server(t)
	p := shell(t, endpoint)
	shellGroup := p.foreground()
	for name := range supervisors(endpoint) {
		p.enter(
			"run_"+name+
				` sh -c 'trap "echo to""ld; exit 9" INT; echo be""gan; while :; do read line; echo "got <$line>"; done'`,
			"began",
		)
		p.press("one\r", "got <one>")
		p.press(ctrlZ, "ready> ")
		if p.foreground() != shellGroup {
			t.Fatalf("%s: the shell has not got the terminal", name)
		}
		p.enter("jobs", "Stopped")
		p.enter("fg", "/fairlead")
		p.press("two\r", "got <two>")
		p.press(ctrlZ, "ready> ")
		// In the background it is stopped when it reads; the shell notices that.
		p.enter("bg", "ready> ")
		eventually(t, name+": it does not stop", func() bool {
			before := len(p.output())
			p.enter("jobs", "ready> ")
			return strings.Contains(p.output()[before:], "Stopped")
		})
		p.enter("fg", "/fairlead")
		p.press("three\r", "got <three>")
		p.press(ctrlC, "told")
		p.enter("", "ready> ")

		// In the background from the start, and never in the foreground.
		p.enter("run_"+name+` sh -c 'echo "below $PPID." be""gan; exec sleep 1000' &`, "began")
		command := p.number("below ")
		p.enter("kill %1; wait; echo do''ne", "done")
		// The shell waits only for its own process of that job, which ends before the command.
		eventually(t, name+": it does not end", func() bool { return gone(command) })
		if p.foreground() != shellGroup {
			t.Fatalf("%s: the shell has not got the terminal", name)
		}
	}
	if keys := ctl(t, endpoint, "get", "--prefix", "", "--keys-only"); keys != "" {
		t.Errorf("left: %s", keys)
	}
	p.typed("exit\r")
	p.wait()
}

// A job that runs in the background gets no signal from bash's fg, and yet gets the foreground:
// Ctrl-C reaches the program.
func TestTerminalForegroundWithoutASignal(t *testing.T) {
	endpoint := server(t)
	p := startTerminal(t, 500, 24, "bash", "--noprofile", "--rcfile", profile(t, endpoint), "-i")
	p.await("ready> ")
	interrupted := func(name string) {
		t.Helper()
		want := p.number("group ")
		p.typed("fg\r")
		eventually(t, name+": the program is not in front", func() bool { return p.foreground() == want })
		p.press(ctrlC, "told")
		p.enter("", "ready> ")
	}
	for name := range supervisors(endpoint) {
		program := ` sh -c 'trap "echo to""ld; exit 9" INT; (echo "group $$." be""gan; exec sleep 1000); exit 8'`
		p.enter("run_"+name+program, "began")
		p.press(ctrlZ, "ready> ")
		p.enter("bg", "ready> ")
		interrupted(name)
		p.enter("run_"+name+program+" &", "began") // in the background from the start
		interrupted(name)
	}
	p.typed("exit\r")
	p.wait()
}

// In pipelines the reader of the program's output may use the keyboard, and Ctrl-C and Ctrl-Z reach
// all processes.
func TestTerminalPipeline(t *testing.T) {
	endpoint := server(t)
	p := shell(t, endpoint)
	shellGroup := p.foreground()
	pager := filepath.Join(t.TempDir(), "pager")
	if err := os.WriteFile(pager, []byte("#!/bin/sh\nread first; echo \"pager has $first\"; read key < /dev/tty; echo "+
		"\"key $key\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name := range supervisors(endpoint) {
		p.enter("run_"+name+` sh -c 'echo some; exec sleep 1000' | `+pager, "pager has some")
		p.press("x\r", "key x")
		p.press(ctrlC, "ready> ")
		p.enter(
			"run_"+name+
				` sh -c 'trap "echo to""ld; exit 0" INT; (echo be""gan; exec sleep 1000); exit 8' | (trap '' INT; cat)`,
			"began",
		)
		p.press(ctrlZ, "ready> ")
		p.enter("jobs", "Stopped")
		p.typed("fg\r")
		eventually(t, name+": not in front again", func() bool { return p.foreground() != shellGroup })
		p.press(ctrlC, "told")
		p.enter("", "ready> ")
		// A program that asks for the keyboard gets it.
		p.enter("run_"+name+` sh -c 'echo be""gan; read line; echo "got <$line>"' | cat`, "began")
		p.press("hello\r", "got <hello>")
		p.enter("", "ready> ")
		p.enter("echo in | run_"+name+` sh -c 'cat; read line < /dev/tty; echo "got <$line>"'`, "in")
		p.press("there\r", "got <there>")
		p.enter("", "ready> ")
	}
	p.typed("exit\r")
	p.wait()
}

// The command can write to a terminal whose foreground is the program's group, even to one that
// stops background processes that write.
func TestTerminalStopsWriters(t *testing.T) {
	endpoint := server(t)
	p := shell(t, endpoint)
	p.enter("stty tostop", "ready> ")
	p.enter(`run_run sh -c 'echo be""gan; read line'`, ": up\r\n")
	p.press("\r", "ready> ")
	p.enter(`f lock other -- sh -c 'echo be""gan; read line'`, "began")
	before := len(p.output())
	if out := ctl(t, endpoint, "del", "--prefix", "other/"); out != "1\n" {
		t.Errorf("%s", out)
	}
	p.awaitAfter(before, "ownership is lost")
	p.enter("", "ready> ")
	p.typed("exit\r")
	p.wait()
}

// Without a shell nothing would continue a stopped program, so it goes on. When the terminal hangs
// up, all processes end.
func TestTerminalWithoutShell(t *testing.T) {
	endpoint := server(t)
	for name, args := range supervisors(endpoint) {
		p := startOnTerminal(
			t,
			80,
			24,
			append(
				args,
				"sh",
				"-c",
				`echo $$; echo began; while read line; do echo "got <$line>"; done; sleep 1000`,
			)...)
		p.await("began")
		p.typed(ctrlZ)
		p.press("one\r", "got <one>")
		p.press("two\r", "got <two>")
		p.typed(ctrlC)
		if code := p.wait(); code != 130 {
			t.Errorf("%s: status %d: %s", name, code, p.output())
		}

		p = startOnTerminal(t, 80, 24, append(args, "sh", "-c", `echo began; sleep 1000`)...)
		p.await("began")
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 143 {
			t.Errorf("%s: status %d: %s", name, code, p.output())
		}
		if group := p.foreground(); group != p.cmd.Process.Pid && group != 0 {
			t.Errorf("%s: the terminal is left to group %d", name, group)
		}
	}
}
