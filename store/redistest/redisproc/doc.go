// Package redisproc runs redis-server or valkey-server processes on loopback, for tests and for the programs that run
// tests. It knows nothing of package testing: package redistest puts that on top.
//
// A process started here never outlives the program that started it, however that program ends, and its temporary
// directory goes with it. The package starts no goroutine that lives longer than a call, so leak detectors stay quiet.
package redisproc
