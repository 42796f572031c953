//go:build never

// Package gokit holds the go-kit adapter; see sd/etcdv3.
//
// go-kit v0.13.0 requires a google.golang.org/genproto from before it was split into modules, so
// two modules would hold the same packages. This import, which is never built, keeps a current
// version among the requirements.
package gokit

import _ "google.golang.org/genproto/googleapis/type/color"
