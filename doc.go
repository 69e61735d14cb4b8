// Package carillon is the domain of Carillon, a timer service for people who run Temporal: a client hands over a client
// id, an expiration time and a payload; when the time comes, the payload goes back to the client.
//
// The package holds what the parts of Carillon and its users share: TimerSpec, what is asked for; ID, which says where
// a timer lives; Target, where the payload goes; Error, with one table that says how each kind is treated; and the
// operations with their inputs and results, which are the contract with clients in every language.
//
// Go programs create timers with the package starter, through a Temporal client. The worker that serves them is
// assembled by the package worker.
package carillon
