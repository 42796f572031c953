//go:build never

// Package gokit holds the go-kit adapter; see sd/etcdv3.
//
// go-kit v0.13.0 asks for a google.golang.org/genproto from before that was split into
// modules, and the same packages are then found in two of them. This import, which is never
// built, keeps a current one among the requirements.
package gokit

import _ "google.golang.org/genproto/googleapis/type/color"
