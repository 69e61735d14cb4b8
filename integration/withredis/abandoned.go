package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/carillon-io/carillon/integration/images"
)

// ownerLabel marks a container with the withredis that runs it. Without Ryuk, a container outlives a withredis that was
// killed; the next one on the same machine removes it.
const ownerLabel = "io.carillon.test.withredis"

const removeTimeout = 20 * time.Second

func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// removeAbandoned removes the containers of dead withredis programs of this machine. What it cannot remove stays.
func removeAbandoned(ctx context.Context, engine *images.Engine) {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	list, err := engine.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", ownerLabel),
	})
	if err != nil {
		say("look for abandoned containers: %v", err)
		return
	}
	for _, c := range list.Items {
		if !abandoned(c.Labels[ownerLabel]) {
			continue
		}
		_, err := engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil {
			say("remove an abandoned container: %v", err)
		}
	}
}

// abandoned reports whether the owner was a program of this machine and is gone.
func abandoned(label string) bool {
	host, pid, _ := strings.Cut(label, ":")
	own, _, _ := strings.Cut(owner(), ":")
	var number int
	if _, err := fmt.Sscan(pid, &number); err != nil || host != own {
		return false
	}
	return !alive(number)
}
