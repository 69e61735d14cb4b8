// Package integration holds the end-to-end tests of Carillon: on the embedded Temporal server, on a real Redis, and with
// worker processes that are killed, frozen and cut off. Each of them ends with the checker of package check.
package integration
