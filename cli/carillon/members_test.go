package main

import (
	"context"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// startMembers founds the group if it is not there, and has members of it heartbeat until the script ends.
func startMembers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: members GROUP ID ...")
	}
	client, err := store.Connect(ts.Getenv("REDIS"))
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	s, err := store.Open(ctx, client, store.Options{Group: args[0], AllowVolatile: true})
	if err != nil {
		cancel()
		ts.Fatalf("members: %v", err)
	}
	beat := func() error {
		for _, id := range args[1:] {
			m := carillon.Member{Worker: id, Zone: "zone-of-" + id, Version: "test"}
			if _, err := s.Heartbeat(ctx, m, "script"); err != nil {
				return err
			}
		}
		return nil
	}
	ended := make(chan struct{})
	ts.Defer(func() {
		cancel()
		<-ended
		_ = s.Close()      // the script is over
		_ = client.Close() // whatever it says
	})
	err = beat()
	go func() {
		defer close(ended)
		tick := time.NewTicker(carillon.MemberHeartbeat / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = beat() // Redis may be stopped before the script ends
			case <-ctx.Done():
				return
			}
		}
	}()
	ts.Check(err)
}
