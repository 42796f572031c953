//go:build !linux

package main

import (
	"errors"
	"syscall"
)

func childAttr() (attr *syscall.SysProcAttr, isolated bool) { return nil, false }

func loopbackUp() error { return errors.New("loopback: no network of its own on this system") }
