//go:build !unix

package demo

import "errors"

func (m *child) freeze() error { return errors.New("a process cannot be frozen on this system") }

func (m *child) thaw() error { return nil }
