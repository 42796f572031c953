//go:build race

package gokit

func init() { raceDetector = true }
