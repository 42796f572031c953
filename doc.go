// Package fairlead is the root of the Fairlead module; it has no code. Start with
// the package clientv3.
package fairlead
