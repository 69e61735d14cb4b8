package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// ServerInfo is what a Redis says of itself.
type ServerInfo struct {
	// Version of the server; "" for an embedded one.
	Version string
	// Embedded says that this is the in-process one of a development set-up.
	Embedded bool
	// AppendOnly says that Redis writes an append-only file.
	AppendOnly bool
	// Cluster says that this is a Redis Cluster.
	Cluster bool
}

// checkServer refuses a Redis that would lose timers: too old, a replica, one that evicts keys, or one that forgets.
func checkServer(ctx context.Context, client redis.UniversalClient, o Options) (ServerInfo, error) {
	if err := client.Ping(ctx).Err(); err != nil {
		return ServerInfo{}, redisError("connect to Redis", err)
	}
	cluster, isCluster := client.(*redis.ClusterClient)
	if !isCluster {
		return checkNode(ctx, client, o)
	}
	var mu sync.Mutex // the nodes are asked at the same time
	var info ServerInfo
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		i, err := checkNode(ctx, node, o)
		mu.Lock()
		defer mu.Unlock()
		info = i
		return err
	})
	info.Cluster = true
	return info, err
}

func checkNode(ctx context.Context, client redis.Cmdable, o Options) (ServerInfo, error) {
	text, err := client.Info(ctx).Result()
	if err != nil {
		return ServerInfo{}, redisError("INFO", err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	// The embedded server says next to nothing of itself.
	info := ServerInfo{Version: fields["redis_version"], AppendOnly: fields["aof_enabled"] == "1"}
	info.Embedded = fields["process_id"] == ""
	if v := fields["valkey_version"]; v != "" {
		info.Version = v
	}
	if info.Embedded {
		info.Version = ""
		if !o.AllowVolatile {
			return info, carillon.InvalidArgument("redis", "this is an embedded Redis, which forgets everything when it stops: use a "+
				"real one, or allow a volatile store")
		}
		return info, nil
	}
	major, _, _ := strings.Cut(info.Version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return info, carillon.InvalidArgument("redis", "its version is %q; Redis or Valkey 7.0 or newer is needed", info.Version)
	}
	if fields["role"] != "master" {
		return info, carillon.InvalidArgument("redis", "this server is a read-only replica of %s: connect to the primary",
			fields["master_host"])
	}
	if policy := fields["maxmemory_policy"]; policy != "noeviction" {
		return info, carillon.InvalidArgument("redis", "maxmemory-policy is %q, so that Redis would throw timers away when it is full: "+
			"set it to noeviction", policy)
	}
	if !info.AppendOnly && !o.AllowVolatile {
		return info, carillon.InvalidArgument("redis", "it writes no append-only file, so that a restart would lose timers: "+
			"set appendonly to yes, or allow a volatile store")
	}
	return info, nil
}

// isMissingGroup says that Redis has lost a slot's fire queue (it was emptied, or restarted without its data).
func isMissingGroup(err error) bool {
	var answered redis.Error
	return errors.As(err, &answered) && strings.Contains(answered.Error(), "NOGROUP")
}
