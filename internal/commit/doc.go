// Package commit groups concurrent calls into few operations, as a database groups commits: while an operation is
// under way, the calls that arrive meanwhile gather, and the next operation takes all of them. Each caller gets its
// own answer.
//
// A fixed cost per operation that is large beside the cost per item makes small operations the enemy. So one
// operation is under way at a time, and a further one begins only when a whole one is waiting: more at once would
// find less to take along.
package commit
