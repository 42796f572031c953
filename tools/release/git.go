package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// foreign are the variables that git sets for hooks and that name a repository. If one of them is
// set, git works on that repository, whatever directory it is started in.
var foreign = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY",
	"GIT_ALTERNATE_OBJECT_DIRECTORIES",
}

// git runs git in a directory and returns what it printed, without white space at the end.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	return output(cmd)
}

// output runs a command. The error includes the command's standard error.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf(
			"%s: %w\n%s",
			strings.Join(cmd.Args, " "),
			err,
			bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...)),
		)
	}
	return strings.TrimRight(stdout.String(), "\n"), nil
}

// visible lists the files of a working tree that git has or would add. It leaves out files that
// are deleted in the tree but not yet in git.
func visible(ctx context.Context, dir string) ([]string, error) {
	out, err := git(ctx, dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(out, "\x00") {
		if name == "" || strings.HasSuffix(name, "/") { // a repository inside this one, which git would not add
			continue
		}
		if info, err := os.Lstat(dir + "/" + name); err == nil && !info.IsDir() {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
