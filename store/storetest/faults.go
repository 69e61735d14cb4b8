package storetest

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
)

// A fault is what a network does to calls of scripts.
type fault int

const (
	noFault fault = iota
	twice
	lost
)

type faultKey struct{}

// Twice makes every script that is called under the context run twice; the second answer counts. It is what happens
// when the Redis client sends a call again whose answer it did not get.
func Twice(ctx context.Context) context.Context { return context.WithValue(ctx, faultKey{}, twice) }

// Lost makes every script that is called under the context run, and its answer get lost.
func Lost(ctx context.Context) context.Context { return context.WithValue(ctx, faultKey{}, lost) }

// ErrLost is what a call fails with whose answer was lost.
var ErrLost error = &net.OpError{Op: "read", Err: errors.New("storetest: the answer was lost")}

// Faults is a hook of a Redis client that heeds Twice and Lost.
type Faults struct{}

var _ redis.Hook = Faults{}

// DialHook implements redis.Hook.
func (Faults) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook: the store's scripts are not called in pipelines.
func (Faults) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements redis.Hook.
func (Faults) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		kind, _ := ctx.Value(faultKey{}).(fault)
		if kind == noFault || cmd.Name() != "evalsha" && cmd.Name() != "eval" {
			return next(ctx, cmd)
		}
		if err := next(ctx, cmd); err != nil { // NOSCRIPT among others: nothing has run
			return err
		}
		if kind == twice {
			return next(ctx, cmd)
		}
		cmd.SetErr(ErrLost)
		return ErrLost
	}
}
