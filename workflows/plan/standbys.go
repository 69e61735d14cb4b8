package plan

import (
	"cmp"
	"hash/fnv"
	"strconv"

	"github.com/carillon-io/carillon"
)

// Standbys are the workers, at most n and best first, that take a task's lease when its owner has let it lapse: those
// of another zone than the owner's first, those that drain last. Else they are chosen by rendezvous hashing (Thaler
// and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1),
// 1998): each task has its own order of the workers, so that the tasks of one who dies are spread over all others,
// and who comes or goes changes the standbys of few tasks. An owner of "" is nobody.
func Standbys(task carillon.Task, members []carillon.Member, owner string, n int) []string {
	zone := ""
	for _, m := range members {
		if m.Worker == owner {
			zone = m.Zone
		}
	}
	of := hash(string(task.Kind) + "/" + strconv.Itoa(task.Store) + "/" + strconv.Itoa(task.Slot) + "/" +
		strconv.Itoa(task.Number))
	best := make([]standby, 0, max(min(n, len(members)), 0)+1)
	for _, m := range members {
		if m.Worker == owner {
			continue
		}
		s := standby{worker: m.Worker, class: class(m, zone), score: mix(of + 0x9e3779b97f4a7c15*hash(m.Worker))}
		at := len(best)
		for at > 0 && s.compare(best[at-1]) < 0 {
			at--
		}
		if at >= n {
			continue
		}
		best = append(best, standby{})
		copy(best[at+1:], best[at:])
		best[at] = s
		best = best[:min(len(best), n)]
	}
	var out []string
	for _, s := range best {
		out = append(out, s.worker)
	}
	return out
}

// standby is a candidate.
type standby struct {
	worker string
	class  int // lower is better
	score  uint64
}

func (s standby) compare(t standby) int {
	return cmp.Or(cmp.Compare(s.class, t.class), cmp.Compare(t.score, s.score), cmp.Compare(s.worker, t.worker))
}

// class says how well a member suits, as far as its score does not matter. A zone that is not known is no other one.
func class(m carillon.Member, owners string) int {
	c := 0
	if owners == "" || m.Zone == "" || m.Zone == owners {
		c++
	}
	if m.Draining {
		c += 2
	}
	return c
}

// hash is FNV-1a: the same in every process.
func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// mix spreads each bit over all others: the finaliser of MurmurHash3.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
