// Package engine is what the client over Temporal and the client straight to the store have in common: it checks what
// is asked for, groups and splits it into operations, gives each a request id, carries it out again under the same
// one until there is an answer, and hands everyone their own. A Backend carries the single operation.
package engine
