// Package demo shows timers firing and measures how late they are, where the receivers receive: half of them as signals
// to live workflows, half in a mailbox.
package demo
