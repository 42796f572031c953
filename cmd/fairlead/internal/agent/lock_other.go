//go:build !unix

package agent

// lockDir does nothing: this system has no locks that end with their process.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }
