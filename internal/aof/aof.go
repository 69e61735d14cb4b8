// Package aof repairs the append-only file of a Redis that has crashed.
package aof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Repair cuts an append-only file that ends in half a transaction back to where the transaction begins, by redis-check-aof.
// server is the path of the redis-server or valkey-server that will be started, beside which the tool lies; dir is its working
// directory. Where nothing has been written yet there is nothing to repair.
//
// Whoever keeps timers in Redis has to do this before a server that has crashed is started again. A script's writes stand in
// the file between MULTI and EXEC. A server that is killed in the middle of writing them leaves half a command at the end;
// started again, it cuts off the half command (aof-load-truncated), but leaves the MULTI and the commands behind it standing,
// and appends what comes next. At the start after that the half transaction runs together with whatever follows: acknowledged
// writes are undone. Redis 7.0.15 does this (see the test); Valkey has it mended since August 2026
// (https://github.com/valkey-io/valkey/pull/4342).
func Repair(ctx context.Context, server, dir string) error {
	manifest := filepath.Join(dir, "appendonlydir", "appendonly.aof.manifest")
	if _, err := os.Stat(manifest); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	tool := strings.TrimSuffix(server, "-server") + "-check-aof"
	check := exec.CommandContext(ctx, tool, "--fix", manifest)
	check.Dir = dir
	check.Stdin = strings.NewReader("y\n") // it asks before it cuts
	if out, err := check.CombinedOutput(); err != nil {
		return fmt.Errorf("repair the append-only file: %s: %w\n%s", tool, err, out)
	}
	return nil
}
