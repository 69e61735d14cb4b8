//go:build !unix

package main

// alive says yes where it cannot tell: what may be in use is not removed.
func alive(int) bool { return true }
