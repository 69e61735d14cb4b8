package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// Errors of leases. They are not for clients.
var (
	// ErrLeaseHeld says that somebody else holds the lease. A HeldError says until when.
	ErrLeaseHeld = errors.New("store: the lease is held")
	// ErrLeaseLost says that the token is no longer the lease's: nothing was written.
	ErrLeaseLost = errors.New("store: the lease is lost")
)

// HeldError is ErrLeaseHeld with who holds it, and until when by the store's clock.
type HeldError struct {
	Holder     Token
	UntilMilli int64
}

// Error implements error.
func (e *HeldError) Error() string { return fmt.Sprintf("%v by %s", ErrLeaseHeld, e.Holder) }

// Unwrap makes it ErrLeaseHeld.
func (e *HeldError) Unwrap() error { return ErrLeaseHeld }

// redisError says what an error of Redis means to a caller, and what to check.
func redisError(op string, err error) error {
	if err == nil {
		return nil
	}
	var ours *carillon.Error
	if errors.As(err, &ours) || errors.Is(err, ErrLeaseLost) || errors.Is(err, context.Canceled) {
		return err
	}
	hint := "check that Redis runs and that its address is right"
	var answered redis.Error
	if errors.As(err, &answered) {
		hint = "Redis refused it"
		for _, known := range redisHints {
			if strings.HasPrefix(answered.Error(), known.prefix) {
				hint = known.hint
				break
			}
		}
	}
	return carillon.Errorf(carillon.TypeUnavailable, "%s: %s: %w", op, hint, err)
}

// redisHints say what to do about what Redis answers, by how the answer begins.
var redisHints = []struct{ prefix, hint string }{
	{"OOM", "Redis is full: raise maxmemory, or let timers fire; nothing was written"},
	{"READONLY", "this Redis is a read-only replica: connect to the primary"},
	{"LOADING", "Redis is loading its data: try again soon"},
	{"MASTERDOWN", "this Redis is a replica whose primary is away"},
	{"CLUSTERDOWN", "the Redis Cluster does not serve all slots"},
	{"TRYAGAIN", "the slot is being moved: try again soon"},
	{"NOAUTH", "Redis asks for a password: give one in the URL"},
	{"WRONGPASS", "Redis refuses the user or the password"},
	{"NOPERM", "the Redis user lacks a permission"},
	{"MISCONF", "Redis cannot write to its disk"},
	{"NOREPLICAS", "Redis has too few replicas to accept a write"},
}
