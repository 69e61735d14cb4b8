package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

// installTimeout bounds one run of apt-get. Its own timeouts below end a run without a network much earlier; killing the
// package manager in its work is the last resort.
const installTimeout = 3 * time.Minute

// policyFile keeps Debian's packages from starting the services they bring: a test machine needs the program only.
const policyFile = "/usr/sbin/policy-rc.d"

// install puts redis-server or valkey-server on PATH from the distribution's packages.
func install(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("install redis-server: not root")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install redis-server: %w", err)
	}
	forbid, err := forbidServices()
	if err != nil {
		return fmt.Errorf("install redis-server: %w", err)
	}
	defer forbid()
	say("installing redis-server by apt-get")
	// The package lists may be there and fresh enough; fetching them is the slow part.
	if aptGet(ctx, "install", "redis-server") == nil {
		return onPath()
	}
	errs := []error{aptGet(ctx, "update")}
	for _, name := range []string{"redis-server", "valkey-server"} {
		err := aptGet(ctx, "install", name)
		if err == nil {
			return onPath()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func onPath() error {
	_, err := redisproc.LookPath()
	return err
}

func aptGet(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	options := []string{
		"-y", "-qq", "--no-install-recommends",
		"-o", "Acquire::Retries=1",
		"-o", "Acquire::http::Timeout=15",
		"-o", "Acquire::https::Timeout=15",
		"-o", "DPkg::Lock::Timeout=60",
	}
	cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.WaitDelay = 5 * time.Second // a maintainer script may have left a child that holds the output
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w%s", strings.Join(args, " "), err, aptErrors(out.String()))
	}
	return nil
}

// aptErrors picks what matters from the output of a failed apt-get.
func aptErrors(out string) string {
	var text string
	for line := range strings.Lines(out) {
		if message, ok := strings.CutPrefix(line, "E: "); ok {
			text += ": " + strings.TrimSpace(message)
		}
	}
	return text
}

// forbidServices keeps packages from starting services until the returned function is called. A policy that the machine
// has already stays.
func forbidServices() (undo func(), err error) {
	file, err := os.OpenFile(policyFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	undo = func() { _ = os.Remove(policyFile) }
	if _, err := file.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
		undo()
		return nil, errors.Join(err, file.Close())
	}
	return undo, file.Close()
}
