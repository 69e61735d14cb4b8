package devserver

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// oldestRedis is the first major version that the timer store works with.
	oldestRedis = 7
	// versionTimeout is how long a binary may take to print its version.
	versionTimeout = 10 * time.Second
)

// redisBinary is a server that can be run.
type redisBinary struct {
	path    string
	name    string // redis-server or valkey-server, whatever the file is called
	version string
}

// findRedis finds the named server, or any if name is "".
func findRedis(ctx context.Context, name string) (redisBinary, error) {
	names := []string{"redis-server", "valkey-server"}
	if name != "" {
		names = []string{name}
	}
	var errs []error
	for _, name := range names {
		binary, err := inspectRedis(ctx, name)
		if err == nil {
			return binary, nil
		}
		errs = append(errs, err)
	}
	return redisBinary{}, errors.Join(errs...)
}

// redisVersion matches what --version prints: "Redis server v=7.0.15 sha=..." or "Valkey server v=8.1.1 sha=...".
var redisVersion = regexp.MustCompile(`^(Redis|Valkey) server v=((\d+)\.\S+)`)

func inspectRedis(ctx context.Context, name string) (redisBinary, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return redisBinary{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return redisBinary{}, fmt.Errorf("%s --version: %w", path, err)
	}
	match := redisVersion.FindStringSubmatch(string(output))
	if match == nil {
		return redisBinary{}, fmt.Errorf("%s: neither Redis nor Valkey, its --version says %q",
			path, strings.TrimSpace(string(output)))
	}
	if major, err := strconv.Atoi(match[3]); err != nil || major < oldestRedis {
		return redisBinary{}, fmt.Errorf("%s is version %s: %d.0 or newer is needed", path, match[2], oldestRedis)
	}
	return redisBinary{path: path, name: strings.ToLower(match[1]) + "-server", version: match[2]}, nil
}
