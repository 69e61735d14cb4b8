// Package images finds a Docker engine and gives it the images that the tests use, without a registry where there is
// none: an image is built from what the machine has installed.
package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// engineTimeout bounds the wait for one engine: an idle one answers in milliseconds, a hung one never.
const engineTimeout = 5 * time.Second

// Engine is a Docker engine that answers.
type Engine struct {
	*client.Client

	// Host is the engine's address, in the form of DOCKER_HOST.
	Host string
}

// FindEngine returns the first engine that answers: the one of DOCKER_HOST and no other where that is set, else the
// usual sockets.
func FindEngine(ctx context.Context) (*Engine, error) {
	var errs []error
	for _, host := range hosts() {
		engine, err := connect(ctx, host)
		if err == nil {
			return engine, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", host, err))
	}
	if len(errs) == 0 {
		return nil, errors.New("no Docker engine: no socket found")
	}
	return nil, fmt.Errorf("no Docker engine: %w", errors.Join(errs...))
}

func hosts() []string {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return []string{host}
	}
	sockets := []string{"/var/run/docker.sock"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		sockets = append(sockets, filepath.Join(home, ".docker", "run", "docker.sock"))
	}
	var hosts []string
	for _, socket := range sockets {
		if _, err := os.Stat(socket); err == nil {
			hosts = append(hosts, "unix://"+socket)
		}
	}
	return hosts
}

func connect(ctx context.Context, host string) (*Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	// FromEnv first: it also reads the TLS settings.
	c, err := client.New(client.FromEnv, client.WithHost(host))
	if err != nil {
		return nil, err
	}
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &Engine{Client: c, Host: host}, nil
}

// Local reports whether the engine runs on this machine: its forwarded ports can be on loopback.
func (e *Engine) Local() bool {
	return strings.HasPrefix(e.Host, "unix:") || strings.HasPrefix(e.Host, "npipe:")
}

// Has reports whether the engine has an image.
func (e *Engine) Has(ctx context.Context, image string) bool {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	_, err := e.ImageInspect(ctx, image)
	return err == nil
}

// Pull gets an image from its registry, within the given time.
func (e *Engine) Pull(ctx context.Context, image string, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not pulled within %s", within))
	defer cancel()
	answer, err := e.ImagePull(ctx, image, client.ImagePullOptions{})
	if err == nil {
		err = answer.Wait(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
