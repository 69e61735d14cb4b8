// Package storebench measures how many timers a second a store creates, sweeps and fires, and how much memory a pending
// timer occupies. Beside each batch it does the least that Redis would have to do for as many timers, in the same run, so that
// the comparison holds whatever the machine and whatever else it does.
//
// The benchmarks of package store and the command "carillon bench store" are two views of it.
package storebench
