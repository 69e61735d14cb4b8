package redisproc

import (
	"errors"
	"os/exec"
)

// Environment variables that tests and the programs that run them agree on.
const (
	// EnvURL names the Redis that tests use when it is set, as a redis:// URL.
	EnvURL = "CARILLON_TEST_REDIS_URL"
	// EnvRequire makes a test that needs a real Redis fail, where it would be skipped, when there is none. Set it to 1.
	EnvRequire = "CARILLON_TEST_REQUIRE_REDIS"
)

// ErrNoBinary says that neither redis-server nor valkey-server is on PATH, or that this platform cannot run one.
var ErrNoBinary = errors.New("no redis-server or valkey-server on PATH")

// LookPath returns the path of redis-server or, failing that, of valkey-server. The error is ErrNoBinary.
func LookPath() (string, error) {
	if !supported {
		return "", ErrNoBinary
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoBinary
}
