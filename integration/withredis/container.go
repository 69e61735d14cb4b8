package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"

	"github.com/carillon-io/carillon/integration/images"
	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

const (
	envImage     = "CARILLON_TEST_REDIS_IMAGE"
	envNoRyuk    = "TESTCONTAINERS_RYUK_DISABLED"
	defaultImage = "redis:7.2-alpine"
	redisPort    = "6379/tcp"

	containerTimeout = time.Minute
)

// fromContainer runs a container, and sees to it that redis-server is on PATH too, for fault tests.
func fromContainer(ctx context.Context, opts options) (redis, error) {
	engine, err := images.FindEngine(ctx)
	if err != nil {
		return redis{}, err
	}
	defer func() { _ = engine.Close() }()
	image, pulled, err := chooseImage(ctx, engine, opts)
	if err != nil {
		return redis{}, err
	}
	// From here on testcontainers talks to the engine, and so may the command.
	if err := os.Setenv("DOCKER_HOST", engine.Host); err != nil {
		return redis{}, err
	}
	if err := chooseRyuk(ctx, engine, pulled, opts); err != nil {
		return redis{}, err
	}
	removeAbandoned(ctx, engine)
	found, err := runContainer(ctx, engine, image)
	if err != nil {
		return redis{}, err
	}
	if _, err := redisproc.LookPath(); err != nil && opts.allows("install") {
		if err := install(ctx); err != nil {
			say("fault tests need redis-server on PATH: %v", err)
		}
	}
	return found, nil
}

// chooseImage returns an image that the engine has by now, and whether it came from a registry just now.
func chooseImage(ctx context.Context, engine *images.Engine, opts options) (image string, pulled bool, err error) {
	image = os.Getenv(envImage)
	if image == "" {
		image = defaultImage
	}
	if engine.Has(ctx, image) {
		return image, false, nil
	}
	err = engine.Pull(ctx, image, opts.pullTimeout)
	if err == nil {
		return image, true, nil
	}
	say("cannot pull %s (%v): using %s", image, err, images.Redis)
	if _, err := redisproc.LookPath(); err != nil {
		if engine.Has(ctx, images.Redis) {
			return images.Redis, false, nil // built earlier
		}
		if !opts.allows("install") {
			return "", false, fmt.Errorf("build %s: %w", images.Redis, err)
		}
		if err := install(ctx); err != nil {
			return "", false, fmt.Errorf("build %s: %w", images.Redis, err)
		}
	}
	if _, err := images.EnsureRedis(ctx, engine); err != nil {
		return "", false, fmt.Errorf("build %s: %w", images.Redis, err)
	}
	return images.Redis, false, nil
}

// chooseRyuk does without Ryuk, the container by which testcontainers removes what a killed program left, where its image
// is not there and no registry has just answered. It has to be called before testcontainers reads its settings.
func chooseRyuk(ctx context.Context, engine *images.Engine, registry bool, opts options) error {
	image := testcontainers.ReaperDefaultImage //nolint:staticcheck // deprecated; what replaces it is not exported
	if _, set := os.LookupEnv(envNoRyuk); set || engine.Has(ctx, image) {
		return nil
	}
	if registry && engine.Pull(ctx, image, opts.pullTimeout) == nil {
		return nil
	}
	return os.Setenv(envNoRyuk, "true")
}

// runContainer runs a Redis in a container and returns when it answers.
func runContainer(ctx context.Context, engine *images.Engine, image string) (found redis, err error) {
	log.SetDefault(log.NewNoopLogger())
	ctx, cancel := context.WithTimeout(ctx, containerTimeout)
	defer cancel()
	request := testcontainers.ContainerRequest{
		Image: image,
		Cmd: []string{
			"redis-server", "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
			"--maxmemory-policy", "noeviction",
			// The engine's port forwarding is not loopback to the server.
			"--protected-mode", "no",
		},
		ExposedPorts: []string{redisPort},
		Labels:       map[string]string{ownerLabel: owner()},
	}
	if engine.Local() {
		request.HostConfigModifier = func(config *container.HostConfig) {
			config.PortBindings = network.PortMap{
				network.MustParsePort(redisPort): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: "0"}},
			}
		}
	}
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: request, Started: true,
	})
	terminate := func() error {
		return testcontainers.TerminateContainer(c, testcontainers.StopTimeout(time.Second))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, terminate())
		}
	}()
	if err != nil {
		return redis{}, fmt.Errorf("run %s: %w", image, err)
	}
	addrs, err := addresses(ctx, engine, c)
	if err != nil {
		return redis{}, err
	}
	for _, addr := range addrs {
		url := "redis://" + addr
		version, err := answer(ctx, url)
		if err == nil {
			return redis{url: url, from: "container " + image, version: version, closer: terminate}, nil
		}
		say("the Redis in the container does not answer at %s: %v", addr, err)
	}
	return redis{}, errors.New("the Redis in the container does not answer")
}

// addresses are where the container may be reached, best first.
func addresses(ctx context.Context, engine *images.Engine, c testcontainers.Container) ([]string, error) {
	port, err := c.MappedPort(ctx, redisPort)
	if err != nil {
		return nil, err
	}
	if !engine.Local() {
		host, err := c.Host(ctx)
		if err != nil {
			return nil, err
		}
		return []string{net.JoinHostPort(host, port.Port())}, nil
	}
	addrs := []string{net.JoinHostPort("127.0.0.1", port.Port())}
	// Inside a container that was given the engine's socket, loopback is not the engine's, but its bridge is often ours.
	if ip, err := c.ContainerIP(ctx); err == nil && ip != "" {
		addrs = append(addrs, net.JoinHostPort(ip, network.MustParsePort(redisPort).Port()))
	}
	return addrs, nil
}
