package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// changelog must have a heading for the version that is released.
const changelog = "CHANGELOG.md"

// release makes a release in the local repository: a commit that sets the versions, and the tags.
// It pushes nothing. It commits exactly the tree that check received. If anything fails, it leaves
// everything as it was.
func (r *repository) release(
	ctx context.Context,
	out io.Writer,
	version string,
	check func(s *stage, tmp string) error,
) error {
	if err := checkVersion(r.prefix, version); err != nil {
		return err
	}
	if err := r.ready(ctx, version); err != nil {
		return err
	}
	head, err := git(ctx, r.dir, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	return r.rehearse(ctx, out, version, func(s *stage, tmp string) error {
		if err := check(s, tmp); err != nil {
			return err
		}
		if err := r.commit(ctx, s, head); err != nil {
			return err
		}
		tags, err := r.tag(ctx, s)
		if err != nil {
			return fmt.Errorf("the release is committed, and has no tags: %w", err)
		}
		fmt.Fprintf(
			out,
			"tagged     %s\n\nTo publish it:\n\n    git push --atomic origin HEAD %s\n",
			strings.Join(tags, " "),
			strings.Join(tags, " "),
		)
		return nil
	})
}

// ready returns an error with everything that is in the way of a release and can be seen at once.
func (r *repository) ready(ctx context.Context, version string) error {
	var errs []error
	changed, err := git(ctx, r.dir, "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		errs = append(errs, fmt.Errorf("there are changes that are not committed:\n%s", changed))
	}
	for _, m := range r.modules {
		if !m.released {
			continue
		}
		tag := m.tag(version)
		if found, err := git(ctx, r.dir, "tag", "--list", tag); err != nil {
			return err
		} else if found != "" {
			errs = append(errs, fmt.Errorf("there is a tag %s already", tag))
		}
	}
	text, err := os.ReadFile(r.file(changelog))
	if err != nil {
		return err
	}
	want := "## " + strings.TrimPrefix(version, "v")
	heading := func(line string) bool { return line == want || strings.HasPrefix(line, want+" ") }
	if !slices.ContainsFunc(strings.Split(string(text), "\n"), heading) {
		errs = append(errs, fmt.Errorf("%s has no heading %q", changelog, want))
	}
	return errors.Join(errs...)
}

// commit brings the working tree to the content of the stage, and commits it on top of head, from
// which the stage was made.
func (r *repository) commit(ctx context.Context, s *stage, head string) (err error) {
	// Edits made meanwhile are neither overwritten nor released.
	if now, err := git(ctx, r.dir, "rev-parse", "HEAD"); err != nil {
		return err
	} else if now != head {
		return fmt.Errorf("there is a new commit since the check began: %s", now)
	}
	if now, err := git(ctx, r.dir, "status", "--porcelain"); err != nil {
		return err
	} else if now != "" {
		return fmt.Errorf("the working tree has changed since the check began:\n%s", now)
	}
	files, err := visible(ctx, s.dir)
	if err != nil {
		return err
	}
	var changed []string
	for _, name := range files {
		want, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return err
		}
		if have, err := os.ReadFile(r.file(name)); err != nil || !bytes.Equal(have, want) {
			changed = append(changed, name)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.restore(changed))
		}
	}()
	for _, name := range changed {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return err
		}
		if err := replaceFile(r.file(name), text); err != nil {
			return err
		}
	}
	if _, err := git(ctx, r.dir, "add", "--all"); err != nil {
		return err
	}
	tree, err := git(ctx, r.dir, "write-tree")
	if err != nil {
		return err
	}
	if tree != s.tree {
		return errors.New("what git would commit is not what was checked")
	}
	if len(changed) == 0 {
		return nil
	}
	_, err = git(ctx, r.dir, "commit", "--quiet", "--message", "Release "+s.version)
	return err
}

// restore takes files back to their committed content, and removes those that are not committed.
func (r *repository) restore(files []string) error {
	ctx := context.Background() // also after an interruption
	var errs []error
	for _, name := range files {
		if _, err := git(ctx, r.dir, "cat-file", "-e", "HEAD:"+name); err != nil {
			_, err = git(ctx, r.dir, "rm", "--force", "--quiet", "--ignore-unmatch", "--", name)
			errs = append(errs, err)
			continue
		}
		_, err := git(ctx, r.dir, "checkout", "--quiet", "HEAD", "--", name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tag makes all tags or none, in the order in which modules require each other.
func (r *repository) tag(ctx context.Context, s *stage) ([]string, error) {
	if tree, err := git(ctx, r.dir, "rev-parse", "HEAD^{tree}"); err != nil {
		return nil, err
	} else if tree != s.tree {
		return nil, errors.New("the commit is not what was checked; a hook of git may have changed it")
	}
	var tags []string
	for _, p := range s.packed {
		tag := p.mod.tag(s.version)
		if _, err := git(ctx, r.dir, "tag", "--annotate", "--message", p.of.String(), tag); err != nil {
			for _, made := range tags {
				if _, undo := git(context.WithoutCancel(ctx), r.dir, "tag", "--delete", made); undo != nil {
					err = errors.Join(err, undo)
				}
			}
			return nil, err
		}
		tags = append(tags, tag)
	}
	return tags, nil
}
