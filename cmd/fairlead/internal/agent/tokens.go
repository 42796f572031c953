package agent

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// leastToken is how many bytes a token has at least, so that it cannot be guessed.
	leastToken = 16
	// reloadEvery is how often the file of tokens is checked for changes.
	reloadEvery = time.Second
)

// grant is what a token may write: names of services, or beginnings of names that end in *.
type grant []string

func (g grant) allows(service string) bool {
	for _, name := range g {
		if prefix, ok := strings.CutSuffix(name, "*"); ok && strings.HasPrefix(service, prefix) || name == service {
			return true
		}
	}
	return false
}

// tokens are the tokens of a file, which is read again when it changes. They are kept as hashes: so
// nothing can print them, and a lookup takes no longer if more of a token is right.
type tokens struct {
	path string
	say  func(string)

	mu      sync.Mutex
	grants  map[[sha256.Size]byte]grant
	looked  time.Time
	stamp   string
	failure string
}

func openTokens(path string, say func(string)) (*tokens, error) {
	t := &tokens{path: path, say: say, looked: time.Now()}
	err := t.load()
	return t, err
}

// load reads the file if it has changed.
func (t *tokens) load() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf(
			"%s has mode %04o, so others can read or change it: make it 0600",
			t.path,
			info.Mode().Perm(),
		)
	}
	stamp := fmt.Sprint(info.ModTime().UnixNano(), info.Size())
	if stamp == t.stamp {
		return nil
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return err
	}
	grants, err := parseTokens(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	t.grants, t.stamp = grants, stamp
	return nil
}

// parseTokens reads lines of a token and the services that it may write. An error names the line,
// never its text.
func parseTokens(text string) (map[[sha256.Size]byte]grant, error) {
	grants := make(map[[sha256.Size]byte]grant)
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words[0]) < leastToken {
			return nil, fmt.Errorf("the token in line %d has fewer than %d bytes", i+1, leastToken)
		}
		h := sha256.Sum256([]byte(words[0]))
		if _, ok := grants[h]; ok {
			return nil, fmt.Errorf("the token in line %d is there twice", i+1)
		}
		grants[h] = words[1:]
	}
	if len(grants) == 0 {
		return nil, errors.New("there is no token")
	}
	return grants, nil
}

// find returns what a token may write; not ok for an unknown token.
func (t *tokens) find(token string) (g grant, ok bool) {
	if t == nil {
		return nil, false
	}
	h := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.looked) >= reloadEvery {
		t.looked = now
		failure := ""
		if err := t.load(); err != nil {
			failure = err.Error()
		}
		if failure != "" && failure != t.failure {
			t.say("the tokens stay as they were: " + failure)
		}
		t.failure = failure
	}
	g, ok = t.grants[h]
	return g, ok
}
