package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/starter/direct"
	"github.com/carillon-io/carillon/store"
)

// Connect is Env.Connect over the network.
func Connect(ctx context.Context, to Connection) (starter.Timers, error) {
	if to.RedisURL != "" {
		return connectRedis(ctx, to)
	}
	return connectTemporal(ctx, to)
}

// connected is a client together with the connection that it has to itself.
type connected struct {
	starter.Timers
	disconnect func() error
}

// Close closes both.
func (c connected) Close() error { return errors.Join(c.Timers.Close(), c.disconnect()) }

func connectTemporal(ctx context.Context, to Connection) (starter.Timers, error) {
	options, err := to.Temporal.ToClientOptions(envconfig.ToClientOptionsRequest{IncludeRemoteCodec: true})
	if err != nil {
		return nil, carillon.InvalidArgument("", "Temporal's configuration: %w", err)
	}
	// What goes wrong comes back as an error; the SDK need not say it too.
	options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, carillon.Errorf(carillon.TypeUnavailable, "Temporal does not answer at %s; check --address (or "+
			"TEMPORAL_ADDRESS) and that the server is up (carillon dev starts one): %w", to.Temporal.Address, err)
	}
	disconnect := func() error {
		c.Close()
		return nil
	}
	if err := checkNamespace(ctx, c, to.Temporal); err != nil {
		return nil, errors.Join(err, disconnect())
	}
	timers, err := starter.New(c, starter.Options{
		Group: to.Group, Namespace: to.Temporal.Namespace, DataConverter: options.DataConverter,
		OperationTimeout: to.Timeout, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, errors.Join(err, disconnect())
	}
	return connected{timers, disconnect}, nil
}

// checkNamespace fails if there is no such namespace. Who may not ask is not told, and finds out later.
func checkNamespace(ctx context.Context, c client.Client, p envconfig.ClientConfigProfile) error {
	_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: p.Namespace})
	var missing *serviceerror.NamespaceNotFound
	if errors.As(err, &missing) {
		return carillon.InvalidArgument(
			"--"+flagNamespace,
			"Temporal at %s has no namespace %q: check --namespace and --address "+
				"(TEMPORAL_NAMESPACE, TEMPORAL_ADDRESS), or create it with `temporal operator namespace create`",
			p.Address,
			p.Namespace,
		)
	}
	return nil
}

func connectRedis(ctx context.Context, to Connection) (starter.Timers, error) {
	r, err := store.Connect(to.RedisURL)
	if err != nil {
		return nil, err
	}
	timers, err := openDirect(ctx, r, to.Group)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return connected{timers, r.Close}, nil
}

func openDirect(ctx context.Context, r redis.UniversalClient, group string) (starter.Timers, error) {
	// Opening a store founds the group. A worker may do that; a misspelt --group must not.
	founded, err := r.Exists(ctx, "carillon:{"+group+"}:meta").Result()
	if err != nil {
		return nil, carillon.Errorf(carillon.TypeUnavailable, "Redis does not answer; check --redis-url (or "+envRedisURL+
			") and that it is up: %w", err)
	}
	if founded == 0 {
		return nil, carillon.InvalidArgument(
			"--"+flagGroup,
			"this Redis knows no group %q; check --group and --redis-url, or start "+
				"a worker of the group, which founds it",
			group,
		)
	}
	// Whether a Redis that forgets is good enough was decided by who founded the group.
	s, err := store.Open(ctx, r, store.Options{Group: group, AllowVolatile: true})
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	timers, err := direct.New(s, direct.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return connected{timers, s.Close}, nil
}

// quietRedis takes what go-redis would write to standard error: it comes back as an error too.
type quietRedis struct{}

func (quietRedis) Printf(context.Context, string, ...any) {}
