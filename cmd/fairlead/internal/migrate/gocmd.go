package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// goCommand runs the go command in the module, without a workspace unless the command is about
// that.
func (m *module) goCommand(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.dir, &out, &errs
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// tidied returns go.mod and go.sum after the changes of m.file. It works on copies.
func (m *module) tidied(ctx context.Context) (mod, sum []byte, err error) {
	tmp, err := os.MkdirTemp("", "fairlead-migrate-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	m.file.Cleanup()
	text, err := m.file.Format()
	if err != nil {
		return nil, nil, err
	}
	modPath, sumPath := filepath.Join(tmp, "go.mod"), filepath.Join(tmp, "go.sum")
	if err = errors.Join(os.WriteFile(modPath, text, 0o600), os.WriteFile(sumPath, m.sum, 0o600)); err != nil {
		return nil, nil, err
	}
	if _, err = m.goCommand(ctx, []string{"GOWORK=off"}, "mod", "tidy", "-modfile="+modPath); err != nil {
		return nil, nil, err
	}
	if mod, err = os.ReadFile(modPath); err != nil {
		return nil, nil, err
	}
	if sum, err = os.ReadFile(sumPath); errors.Is(err, fs.ErrNotExist) {
		err = nil // nothing to record
	}
	return mod, sum, err
}

// workspace returns the go.work that is in force in the module, "" if there is none. If it replaces
// the official client itself, that is an error: it would have precedence.
func (m *module) workspace(ctx context.Context) (path string, err error) {
	if path, err = m.goCommand(ctx, nil, "env", "GOWORK"); err != nil || path == "" || path == "off" {
		return "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	work, err := modfile.ParseWork(path, text, nil)
	if err != nil {
		return "", err
	}
	for _, r := range work.Replace {
		if r.Old.Path == official {
			return "", fmt.Errorf(
				"%s:%d: the workspace replaces %s, which counts more than a go.mod: change that line, or set "+
					"GOWORK=off",
				path,
				r.Syntax.Start.Line,
				official,
			)
		}
	}
	return path, nil
}
