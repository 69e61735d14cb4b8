// Package plan decides which worker of a group runs which task. It is pure: the same tasks, members and assignments,
// in whatever order, give the same decision, in the coordinator's workflow and in each worker that has to decide for
// itself.
//
// # Shares
//
// A worker's quota of N tasks is N times its capacity, divided by the capacities of all. It gets the quota rounded
// down, and some get one more, so that all N are given out. Those who have one more already keep it; what is left
// goes to those with the largest remainders. So loads are as equal as they can be, floor or ceiling of the quota, and
// of all ways to make them so this is one that moves the fewest tasks. Workers of equal capacity give away nothing
// when another one dies or drains, and when one joins, only its share.
//
// # Kinds
//
// Shares are of tasks of all kinds together. Which tasks move is chosen so that each kind is spread evenly too: each
// move goes from who has most too many of a kind to who has most too few of it. No task moves for that reason alone.
//
// # Draining
//
// A worker that drains has no share, and gives away what it has. Where all are draining, each keeps what it has,
// since there is nobody to give it to, and what nobody has is shared among them: a timer that nobody fires is worse
// than a worker that takes one more task on its way out.
package plan
