package redistest

import (
	"context"
	"fmt"
	"strings"
)

// migrateBatch is how many keys one MIGRATE moves.
const migrateBatch = 100

// Migration is a slot on its way from one node to another. Between the steps a test sees what a client sees while an
// operator moves slots: ASK redirections for keys that have gone, and TRYAGAIN for scripts with keys on both sides.
type Migration struct {
	c        *ClusterServers
	slot     int
	from, to int
}

// MigrateSlot moves a slot and its keys to a node, as redis-cli does, and returns when every node knows. A slot that the
// node owns already stays.
func (c *ClusterServers) MigrateSlot(ctx context.Context, slot, toNode int) error {
	from, err := c.Owner(ctx, slot)
	if err != nil || from == toNode {
		return err
	}
	m, err := c.StartMigration(ctx, slot, toNode)
	if err != nil {
		return err
	}
	for {
		moved, err := m.MoveKeys(ctx, migrateBatch)
		if err != nil {
			return err
		}
		if moved == 0 {
			return m.Finish(ctx)
		}
	}
}

// StartMigration marks a slot as migrating at its owner and as importing at the node that shall get it. No key moves yet.
func (c *ClusterServers) StartMigration(ctx context.Context, slot, toNode int) (*Migration, error) {
	if toNode < 0 || toNode >= len(c.nodes) {
		return nil, fmt.Errorf("no node %d", toNode)
	}
	from, err := c.Owner(ctx, slot)
	if err != nil {
		return nil, err
	}
	if from == toNode {
		return nil, fmt.Errorf("node %d owns slot %d already", toNode, slot)
	}
	m := &Migration{c: c, slot: slot, from: from, to: toNode}
	// In this order: a key that is not found at the old owner is asked for at the new one, which has to be ready.
	if err := m.setSlot(ctx, toNode, "IMPORTING", c.ids[from]); err != nil {
		return nil, err
	}
	return m, m.setSlot(ctx, from, "MIGRATING", c.ids[toNode])
}

// MoveKeys moves up to n keys of the slot to the new node, and tells how many it moved: none when all are there.
func (m *Migration) MoveKeys(ctx context.Context, n int) (int, error) {
	source := m.c.admin[m.from]
	keys, err := source.ClusterGetKeysInSlot(ctx, m.slot, n).Result()
	if err != nil {
		return 0, fmt.Errorf("keys of slot %d: %w", m.slot, err)
	}
	return len(keys), m.MoveKey(ctx, keys...)
}

// MoveKey moves the named keys of the slot to the new node.
func (m *Migration) MoveKey(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	host, port, _ := strings.Cut(m.c.nodes[m.to].Addr(), ":")
	args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	if err := m.c.admin[m.from].Do(ctx, args...).Err(); err != nil {
		return fmt.Errorf("migrate %d keys of slot %d: %w", len(keys), m.slot, err)
	}
	return nil
}

// Finish gives the slot to the new node and returns when every node knows. All keys have to have been moved.
func (m *Migration) Finish(ctx context.Context) error {
	// The new owner first: until it knows, it would send clients back to the old one.
	order := []int{m.to, m.from}
	for i := range m.c.nodes {
		if i != m.to && i != m.from {
			order = append(order, i)
		}
	}
	for _, node := range order {
		if err := m.setSlot(ctx, node, "NODE", m.c.ids[m.to]); err != nil {
			return err
		}
	}
	return m.c.WaitOK(ctx)
}

func (m *Migration) setSlot(ctx context.Context, node int, state, id string) error {
	if err := m.c.admin[node].Do(ctx, "CLUSTER", "SETSLOT", m.slot, state, id).Err(); err != nil {
		return fmt.Errorf("node %d: slot %d: %s: %w", node, m.slot, strings.ToLower(state), err)
	}
	return nil
}
