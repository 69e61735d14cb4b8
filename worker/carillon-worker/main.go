// Command carillon-worker runs a worker of Carillon: it sweeps, fires, and answers clients.
//
//	CARILLON_REDIS_URL=redis://localhost:6379 carillon-worker --group default
//
// Every flag can be given as an environment variable: CARILLON_ and its name in capitals (--webhook-allow-private is
// CARILLON_WEBHOOK_ALLOW_PRIVATE). Secrets are given by environment or file only, never as a flag. Temporal's settings
// are those of Temporal's own tools: a profile in temporal.toml, and the variables TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_CLIENT_CERT_PATH and so on.
//
// SIGTERM and SIGINT stop the worker in good order: it finishes what is claimed and hands back its leases.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "carillon-worker:", err)
		os.Exit(carillon.ExitCode(err))
	}
}

// run runs a worker until ctx is done. What it logs goes to out.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), out io.Writer) (err error) {
	s, err := parse(args, lookup, out)
	if err != nil {
		return err
	}
	log := s.logger(out)
	redisClient, err := store.Connect(s.redisURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redisClient.Close()) }()

	clientOptions, err := s.temporal(log)
	if err != nil {
		return err
	}
	temporalClient, err := client.NewLazyClient(clientOptions)
	if err != nil {
		return fmt.Errorf("temporal client: %w", err)
	}
	defer temporalClient.Close()

	sdkworker.SetStickyWorkflowCacheSize(s.stickyCache)
	o := s.worker
	o.Temporal, o.Namespace, o.Redis, o.Logger = temporalClient, clientOptions.Namespace, redisClient, log
	w, err := worker.New(ctx, o)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}
