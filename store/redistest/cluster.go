package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

const (
	clusterSlots   = 16384
	clusterTimeout = 60 * time.Second
)

// ClusterServers is a Redis Cluster of one test's own: masters on loopback, each with an equal share of the hash slots.
// Its methods may be called from any goroutine.
type ClusterServers struct {
	t     testing.TB
	nodes []*Server
	ids   []string
	admin []*redis.Client // one for each node: commands to a node must not be redirected
}

// Cluster runs a Redis Cluster of n masters without replicas that ends with the test, and returns when every node finds
// the cluster whole. Options, at most one, hold for every node; Dir and Port cannot be given. Without redis-server or
// valkey-server on PATH the test is skipped, or fails if CARILLON_TEST_REQUIRE_REDIS is 1.
func Cluster(t testing.TB, n int, opts ...Options) *ClusterServers {
	t.Helper()
	var options Options
	if len(opts) > 0 {
		options = opts[0]
	}
	switch {
	case n < 1:
		t.Fatalf("redistest: a cluster of %d nodes", n)
	case len(opts) > 1 || options.Dir != "" || options.Port != 0:
		t.Fatal("redistest: a cluster takes one set of options, without Dir and Port")
	}
	c := &ClusterServers{t: t}
	for range n {
		node := start(t, options, true)
		c.nodes = append(c.nodes, node)
		c.admin = append(c.admin, node.Client())
	}
	ctx, cancel := context.WithTimeout(t.Context(), clusterTimeout)
	defer cancel()
	if err := c.form(ctx); err != nil {
		t.Fatalf("redistest: form a cluster of %d nodes: %v", n, err)
	}
	return c
}

// Addrs are the nodes' host:port, in order of their numbers.
func (c *ClusterServers) Addrs() []string {
	addrs := make([]string, len(c.nodes))
	for i, node := range c.nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// URL names all nodes, in the form that redis.ParseClusterURL reads.
func (c *ClusterServers) URL() string {
	addrs := c.Addrs()
	if len(addrs) == 1 {
		return "redis://" + addrs[0]
	}
	return "redis://" + addrs[0] + "?addr=" + strings.Join(addrs[1:], "&addr=")
}

// Nodes are the cluster's servers: each can be killed, halted and restarted. WaitOK tells when the cluster is whole again.
func (c *ClusterServers) Nodes() []*Server { return slices.Clone(c.nodes) }

// Client returns a new client of the cluster, closed with the test.
func (c *ClusterServers) Client() *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs(), ContextTimeoutEnabled: true})
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// WaitOK returns when every node says that the cluster's state is ok, knows all nodes, and agrees with the others on who
// owns which slot and on everybody's epoch. Were a slot moved before the nodes have heard of the epoch that the last move has
// brought, its new owner could take the same one, and lose the slot again to what the old one had said before.
func (c *ClusterServers) WaitOK(ctx context.Context) error {
	var last error
	for {
		if last = c.whole(ctx); last == nil {
			return nil
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return errors.Join(err, last)
		}
	}
}

// Owner is the number of the node that owns a slot, by what that node itself says.
func (c *ClusterServers) Owner(ctx context.Context, slot int) (int, error) {
	for i, client := range c.admin {
		nodes, err := client.ClusterNodes(ctx).Result()
		if err != nil {
			return 0, fmt.Errorf("node %d: %w", i, err)
		}
		if owns(nodes, slot) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("nobody owns slot %d", slot)
}

// form makes one cluster of the nodes: an equal range of slots to each, then everybody meets everybody.
func (c *ClusterServers) form(ctx context.Context) error {
	n := len(c.nodes)
	for i, client := range c.admin {
		id, err := client.ClusterMyID(ctx).Result()
		if err != nil {
			return err
		}
		c.ids = append(c.ids, id)
		// Nodes that meet with the same epoch have to settle first whose is the greater.
		if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		first, last := i*clusterSlots/n, (i+1)*clusterSlots/n-1
		if err := client.ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			return err
		}
	}
	for i, client := range c.admin {
		for j, node := range c.nodes {
			if i == j {
				continue
			}
			host, port, _ := strings.Cut(node.Addr(), ":")
			if err := client.ClusterMeet(ctx, host, port).Err(); err != nil {
				return err
			}
		}
	}
	return c.WaitOK(ctx)
}

// whole is nil if every node finds the cluster whole and they agree.
func (c *ClusterServers) whole(ctx context.Context) error {
	views := make([]string, len(c.admin))
	group, ctx := errgroup.WithContext(ctx)
	for i, client := range c.admin {
		group.Go(func() error {
			info, err := client.ClusterInfo(ctx).Result()
			if err != nil {
				return fmt.Errorf("node %d: %w", i, err)
			}
			if !strings.Contains(info, "cluster_state:ok") ||
				!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r\n", len(c.nodes))) {
				return fmt.Errorf("node %d: %s", i, info)
			}
			shards, err := client.ClusterShards(ctx).Result()
			if err != nil {
				return fmt.Errorf("node %d: %w", i, err)
			}
			nodes, err := client.ClusterNodes(ctx).Result()
			if err != nil {
				return fmt.Errorf("node %d: %w", i, err)
			}
			views[i] = ownership(shards) + "\n" + epochs(nodes)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, view := range views {
		if view != views[0] {
			return fmt.Errorf("nodes 0 and %d disagree:\n%s\n%s", i, views[0], view)
		}
	}
	return nil
}

// ownership tells who owns which slots, in a form that can be compared.
func ownership(shards []redis.ClusterShard) string {
	var lines []string
	for _, shard := range shards {
		for _, node := range shard.Nodes {
			if node.Role == "master" {
				lines = append(lines, fmt.Sprintf("%s:%d %v", node.IP, node.Port, shard.Slots))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// epochs tells everybody's epoch by a CLUSTER NODES reply, in a form that can be compared.
func epochs(nodes string) string {
	var lines []string
	for line := range strings.Lines(nodes) {
		if fields := strings.Fields(line); len(fields) >= 8 {
			lines = append(lines, fields[0]+" "+fields[6])
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// owns reports whether the node that gave this CLUSTER NODES reply says that the slot is its own.
func owns(nodes string, slot int) bool {
	for line := range strings.Lines(nodes) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.Contains(fields[2], "myself") {
			continue
		}
		for _, span := range fields[8:] { // "[1-<-id]" are slots on the move; they are not numbers
			first, last, ok := strings.Cut(span, "-")
			if !ok {
				last = first
			}
			from, err1 := strconv.Atoi(first)
			to, err2 := strconv.Atoi(last)
			if err1 == nil && err2 == nil && from <= slot && slot <= to {
				return true
			}
		}
	}
	return false
}

// wait passes some time, or ends with the context.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
