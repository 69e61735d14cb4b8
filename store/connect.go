package store

import (
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// Connect makes a Redis client with settings that fit a timer store: deadlines of contexts bound its I/O, and its pool is large
// enough for the lanes of a group. It does not connect yet.
//
// The URL is redis://[user:password@]host:port[/db] (rediss:// for TLS), or several of them separated by commas: the nodes of a
// Redis Cluster. A single one with ?cluster=true is a Cluster too. It fails with carillon.ErrInvalidArgument, and never
// repeats the URL, which may hold a password.
func Connect(url string) (redis.UniversalClient, error) {
	urls := strings.Split(url, ",")
	var addrs []string
	var first *redis.Options
	cluster := len(urls) > 1
	for i, u := range urls {
		u = strings.TrimSpace(u)
		if base, found := strings.CutSuffix(u, "?cluster=true"); found {
			u, cluster = base, true
		}
		o, err := redis.ParseURL(u)
		if err != nil {
			return nil, carillon.InvalidArgument("redis_url", "part %d is no Redis URL: write redis://host:port, or rediss:// for TLS", i+1)
		}
		if first == nil {
			first = o
		}
		addrs = append(addrs, o.Addr)
	}
	if !cluster {
		first.ContextTimeoutEnabled, first.PoolSize = true, max(first.PoolSize, poolSize)
		return redis.NewClient(first), nil
	}
	if first.DB != 0 {
		return nil, carillon.InvalidArgument("redis_url", "a Redis Cluster has no database %d", first.DB)
	}
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addrs, Username: first.Username, Password: first.Password, TLSConfig: first.TLSConfig,
		ContextTimeoutEnabled: true, PoolSize: poolSize,
	}), nil
}

const (
	poolSize        = 64
	blockedPoolSize = 1024 // a limit: connections are made when they are needed
)

// forBlocking is a client like the given one with a pool of its own, that sends each command once: a read whose answer was
// lost has taken messages all the same, and its caller has to know. One of a kind that is not known serves for both.
func forBlocking(client redis.UniversalClient) redis.UniversalClient {
	switch c := client.(type) {
	case *redis.Client:
		o := *c.Options()
		o.PoolSize, o.MinIdleConns, o.MaxRetries = blockedPoolSize, 0, -1
		return redis.NewClient(&o)
	case *redis.ClusterClient:
		o := *c.Options()
		o.PoolSize, o.MinIdleConns = blockedPoolSize, 0
		return redis.NewClusterClient(&o)
	default:
		return client
	}
}
