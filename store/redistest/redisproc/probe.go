package redisproc

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Probe connects to the Redis of a redis:// or rediss:// URL and returns what it says of itself, for example
// "Redis 7.0.15". It waits a few seconds at most.
func Probe(ctx context.Context, url string) (version string, err error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	options.ContextTimeoutEnabled = true
	// A wrong address is told at once, and once.
	options.MaxRetries, options.DialerRetries = -1, 1
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.Ping(ctx).Err(); err != nil {
		return "", fmt.Errorf("ping: %w", err)
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("info: %w", err)
	}
	return VersionOf(info), nil
}
