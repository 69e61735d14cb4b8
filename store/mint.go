package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/internal/fault"
)

// minter hands out the unique parts of ids: a host id that the registry has given to this process alone, and a counter.
// Minting asks nobody; only the lease of a host id does, once for 2^44 ids. The counter starts at a random place, since a
// registry that lost its last second in a failover may hand out an id twice.
type minter struct {
	mu      sync.Mutex
	leased  bool
	host    uint32
	counter uint64
	left    uint64
}

const counters = 1 << carillon.CounterBits

// Mint hands out n uniques that nobody else gets. The store is asked only when this process has no host id yet, or its counter
// is spent; it may be away otherwise. It fails with carillon.ErrUnavailable.
func (s *Redis) Mint(ctx context.Context, n int) ([]carillon.Unique, error) {
	m := &s.minter
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.leased || m.left < uint64(n) {
		if err := s.leaseHost(ctx, m); err != nil {
			return nil, err
		}
	}
	m.left -= uint64(n)
	out := make([]carillon.Unique, n)
	for i := range out {
		out[i] = carillon.MintedUnique(m.host, m.counter)
		m.counter = (m.counter + 1) % counters
	}
	return out, nil
}

// forgetHost makes the next mint lease another host id: this one has been seen with somebody else.
func (s *Redis) forgetHost() {
	s.minter.mu.Lock()
	defer s.minter.mu.Unlock()
	s.minter.leased = false
}

// leaseHost registers a random host id. The registry refuses one that is taken; then another one is tried.
func (s *Redis) leaseHost(ctx context.Context, m *minter) error {
	owner := randomText(12)
	for {
		host := uint32(randomBits() >> (64 - carillon.HostIDBits))
		r, err := s.run(ctx, "register host id", s.scripts.host, s.clock, []string{s.group.hosts()}, []any{host, owner})
		if err = fault.At(fault.HostLeased, err); err != nil {
			return err
		}
		if r.number(0) == 1 {
			m.host, m.leased = host, true
			m.counter, m.left = randomBits()>>(64-carillon.CounterBits), counters
			return nil
		}
	}
}

func randomBits() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return binary.BigEndian.Uint64(b[:])
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
