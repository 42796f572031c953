package local

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/fairlead-go/fairlead/console"
)

// auditLog appends the console's changes to a file.
type auditLog struct {
	mu   sync.Mutex // guards f
	f    *os.File
	torn bool // the last line may be incomplete
}

// openAudit opens a file to append to; nil for no name.
func openAudit(name string) (*auditLog, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // it contains values of keys
	if err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	return &auditLog{f: f, torn: true}, nil
}

// write returns when the change is on disk.
func (l *auditLog) write(ch console.Change) error {
	line, err := json.Marshal(ch)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn && l.wantsNewline() {
		line = append([]byte{'\n'}, line...)
	}
	l.torn = true
	if _, err := l.f.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := l.f.Sync(); err != nil {
		return err
	}
	l.torn = false
	return nil
}

// wantsNewline reports whether the file's last line is incomplete, after a full disk or a crash.
func (l *auditLog) wantsNewline() bool {
	st, err := l.f.Stat()
	if err != nil || st.Size() == 0 || !st.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(l.f.Name())
	if err != nil {
		return false
	}
	defer f.Close()
	last := make([]byte, 1)
	_, err = f.ReadAt(last, st.Size()-1)
	return err == nil && last[0] != '\n'
}

func (l *auditLog) close() {
	if l != nil {
		_ = l.f.Close()
	}
}
