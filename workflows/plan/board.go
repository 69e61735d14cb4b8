package plan

import (
	"cmp"
	"slices"

	"github.com/carillon-io/carillon"
)

// maxCapacity bounds a worker's capacity, so that no product overflows.
const maxCapacity = 1 << 20

// nobody is the index of no worker.
const nobody = -1

// board is a decision in the making. Tasks, workers and kinds go by their indices.
type board struct {
	tasks  []carillon.Task
	index  map[carillon.Task]int
	kind   []int // of each task
	counts []int // of the tasks of each kind

	workers  []worker // by id
	capacity int64    // of all workers
	allDrain bool

	owner []int // of each task
	pool  pile  // the tasks that have to find a worker
}

// worker is a living member.
type worker struct {
	id       string
	capacity int64 // 0: it has no share
	holds    []carillon.Task
	share    int  // how many tasks it is to have
	has      int  // how many it has
	tasks    pile // which
}

// pile holds the tasks of each kind; the last one is given away first.
type pile [][]int

func (p pile) push(kind, task int) { p[kind] = append(p[kind], task) }

func (p pile) pop(kind int) (task int) {
	last := len(p[kind]) - 1
	task = p[kind][last]
	p[kind] = p[kind][:last]
	return task
}

func newBoard(tasks []carillon.Task, members []carillon.Member) *board {
	b := &board{tasks: sortedTasks(tasks)}
	n := len(b.tasks)
	b.index, b.kind, b.owner = make(map[carillon.Task]int, n), make([]int, n), make([]int, n)
	for i, t := range b.tasks {
		if i == 0 || t.Kind != b.tasks[i-1].Kind {
			b.counts = append(b.counts, 0)
		}
		kind := len(b.counts) - 1
		b.counts[kind]++
		b.kind[i], b.index[t], b.owner[i] = kind, i, nobody
	}
	b.pool = make(pile, len(b.counts))
	members = slices.SortedStableFunc(slices.Values(members), func(a, b carillon.Member) int {
		return cmp.Compare(a.Worker, b.Worker)
	})
	b.allDrain = !slices.ContainsFunc(members, func(m carillon.Member) bool { return !m.Draining })
	for i, m := range members {
		if i > 0 && m.Worker == members[i-1].Worker {
			continue
		}
		w := worker{id: m.Worker, holds: m.Holds, tasks: make(pile, len(b.counts))}
		if !m.Draining || b.allDrain {
			w.capacity = int64(min(max(m.Capacity, 1), maxCapacity))
		}
		b.capacity += w.capacity
		b.workers = append(b.workers, w)
	}
	return b
}

// The layers of a pile.
const (
	assigned = iota // and held
	stoodIn
	notHeld
)

// find is the index of a worker.
func (b *board) find(id string) int {
	i, found := slices.BinarySearchFunc(b.workers, id, func(w worker, id string) int { return cmp.Compare(w.id, id) })
	if !found {
		return nobody
	}
	return i
}

// seat gives each task to who has it now; what has nobody, or somebody without a share, goes to the pool.
func (b *board) seat(current carillon.Assignments) {
	for i, t := range b.tasks {
		if id := current[t]; id != "" {
			b.owner[i] = b.find(id)
		}
	}
	for w := range b.workers { // in the order of ids: of two that seem to hold a task, the first has it
		if b.workers[w].capacity == 0 {
			continue
		}
		for _, t := range b.workers[w].holds {
			if i, known := b.index[t]; known && b.owner[i] == nobody {
				b.owner[i] = w
			}
		}
	}
	holds := make([]bool, len(b.tasks))
	for w := range b.workers {
		for _, t := range b.workers[w].holds {
			if i, known := b.index[t]; known && b.owner[i] == w {
				holds[i] = true
			}
		}
	}
	// What lies on top is given away first: what its worker does not hold yet, since nothing has to be handed over; then what
	// it holds without having been assigned, since it stood in for somebody.
	for _, layer := range []int{assigned, stoodIn, notHeld} {
		for i, w := range b.owner {
			if w == nobody || b.workers[w].capacity == 0 {
				continue
			}
			at := assigned
			switch {
			case !holds[i]:
				at = notHeld
			case current[b.tasks[i]] != b.workers[w].id:
				at = stoodIn
			}
			if at == layer {
				b.give(i, w)
			}
		}
	}
	for i, w := range slices.Backward(b.owner) {
		if w == nobody || b.workers[w].capacity == 0 {
			b.owner[i] = nobody
			b.pool.push(b.kind[i], i)
		}
	}
}

func (b *board) give(task, to int) {
	w := &b.workers[to]
	b.owner[task] = to
	w.tasks.push(b.kind[task], task)
	w.has++
}

// share says how many tasks each worker is to have; see the package's comment.
func (b *board) share() {
	left := len(b.tasks)
	var more []int // who may have one more
	remainder := make([]int64, len(b.workers))
	for i := range b.workers {
		w := &b.workers[i]
		quota := int64(len(b.tasks)) * w.capacity
		w.share, remainder[i] = int(quota/b.capacity), quota%b.capacity
		left -= w.share
		if remainder[i] > 0 {
			more = append(more, i)
		}
	}
	spare := func(i int) int { // 0: it has one more already
		if b.workers[i].has > b.workers[i].share {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(more, func(i, j int) int {
		return cmp.Or(cmp.Compare(spare(i), spare(j)), cmp.Compare(remainder[j], remainder[i]))
	})
	for _, i := range more[:left] {
		b.workers[i].share++
	}
}

// surplus says how many tasks of a kind a worker has beyond its part of that kind, in units of one by the capacity of
// all.
func (b *board) surplus(kind, w int) int64 {
	return int64(len(b.workers[w].tasks[kind]))*b.capacity - int64(b.counts[kind])*b.workers[w].capacity
}

// neediest is the worker below its share that has most too few tasks of the kind.
func (b *board) neediest(kind int) (to int, surplus int64) {
	to = nobody
	for i := range b.workers {
		if b.workers[i].has >= b.workers[i].share {
			continue
		}
		if s := b.surplus(kind, i); to == nobody || s < surplus {
			to, surplus = i, s
		}
	}
	return to, surplus
}

// richest is the worker above its share that has most too many tasks of the kind; nobody if none has any.
func (b *board) richest(kind int) (from int, surplus int64) {
	from = nobody
	for i := range b.workers {
		w := &b.workers[i]
		if w.has <= w.share || len(w.tasks[kind]) == 0 {
			continue
		}
		if s := b.surplus(kind, i); from == nobody || s > surplus {
			from, surplus = i, s
		}
	}
	return from, surplus
}

// place gives out the pool. There is room for it, since the shares are of all tasks.
func (b *board) place() {
	for {
		kind, to, least := nobody, nobody, int64(0)
		for k := range b.pool {
			if len(b.pool[k]) == 0 {
				continue
			}
			if w, s := b.neediest(k); w != nobody && (kind == nobody || s < least) {
				kind, to, least = k, w, s
			}
		}
		if kind == nobody {
			return
		}
		b.give(b.pool.pop(kind), to)
	}
}

// balance moves tasks from those who have more than their share to those who have less.
func (b *board) balance() {
	for {
		kind, from, to, most := nobody, nobody, nobody, int64(0)
		for k := range b.counts {
			donor, rich := b.richest(k)
			receiver, poor := b.neediest(k)
			if donor != nobody && receiver != nobody && (kind == nobody || rich-poor > most) {
				kind, from, to, most = k, donor, receiver, rich-poor
			}
		}
		if kind == nobody {
			return
		}
		b.workers[from].has--
		b.give(b.workers[from].tasks.pop(kind), to)
	}
}
