// Package examples holds small programs, each in a directory of its own, and the
// tests that run them against a cluster. See README.md.
package examples
