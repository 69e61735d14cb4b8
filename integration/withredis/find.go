package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

// sources are where a Redis can come from, in order of preference.
var sources = []string{"env", "container", "path", "install"}

// redis is what was found. The zero value is no Redis.
type redis struct {
	url     string
	from    string
	version string
	closer  func() error
}

func (r redis) real() bool { return r.url != "" }

func (r redis) close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer()
}

// find tries the sources in turn. It fails only where going on would hide a mistake: when a Redis was named that does not
// answer.
func find(ctx context.Context, opts options) (redis, error) {
	tries := map[string]func(context.Context, options) (redis, error){
		"container": fromContainer,
		"path":      fromPath,
		"install":   fromInstall,
	}
	if url := os.Getenv(redisproc.EnvURL); url != "" && opts.allows("env") {
		found, err := named(ctx, url)
		if err != nil {
			return redis{}, fmt.Errorf("%s=%s: %w", redisproc.EnvURL, url, err)
		}
		return found, nil
	}
	for _, source := range sources {
		try := tries[source]
		if try == nil || !opts.allows(source) {
			continue
		}
		found, err := try(ctx, opts)
		if err == nil {
			return found, nil
		}
		say("no Redis from %s: %v", source, err)
	}
	return redis{}, nil
}

func (o options) allows(source string) bool { return slices.Contains(o.from, source) }

// named is the Redis that the environment names.
func named(ctx context.Context, url string) (redis, error) {
	version, err := redisproc.Probe(ctx, url)
	if err != nil {
		return redis{}, err
	}
	return redis{url: url, from: redisproc.EnvURL, version: version}, nil
}

// fromPath runs the installed server.
func fromPath(ctx context.Context, _ options) (redis, error) {
	server, err := redisproc.Start(ctx, redisproc.Config{})
	if err != nil {
		return redis{}, err
	}
	path, err := redisproc.LookPath()
	if err == nil {
		var version string
		if version, err = redisproc.Probe(ctx, server.URL()); err == nil {
			return redis{url: server.URL(), from: path, version: version, closer: server.Close}, nil
		}
	}
	_ = server.Close()
	return redis{}, err
}

// fromInstall installs a server and runs it.
func fromInstall(ctx context.Context, opts options) (redis, error) {
	if err := install(ctx); err != nil {
		return redis{}, err
	}
	return fromPath(ctx, opts)
}

const answerTimeout = 15 * time.Second

// answer waits until a Redis that is coming up answers, and returns its version.
func answer(ctx context.Context, url string) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if version, err = redisproc.Probe(ctx, url); err == nil {
			return version, nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-ticker.C:
		}
	}
}
