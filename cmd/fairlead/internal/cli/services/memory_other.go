//go:build !linux

package services

// dropStart does nothing: only Linux is known to keep these pages, and to report which they are.
func dropStart() {}
