//go:build never

package main

// Keeps a current genproto among the requirements; see adapters/gokit/genproto.go.
import _ "google.golang.org/genproto/googleapis/type/color"
