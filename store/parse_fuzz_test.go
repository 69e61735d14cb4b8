package store

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
)

// newRecord is a record as the create script stores it.
func newRecord(client string, hash, record []byte, flags byte, version int64, due int64) string {
	c := content{flags: flags, client: client, hash: hash, record: record}
	b := append48(append24(append48(nil, version), uint32(version&0xffffff)), version)
	return string(c.appendTail(b, 7, due))
}

func FuzzHeader(f *testing.F) {
	f.Add("")
	f.Add(strings.Repeat("\xff", headerSize))
	f.Add(newRecord("client", nil, []byte("\x0a\x01n"), flagMailbox, 1, 2))
	f.Add(newRecord("client", make([]byte, contentSize), make([]byte, straySize), flagNamed|flagStray, 1, 2))
	f.Add(newRecord(strings.Repeat("c", 200), make([]byte, contentSize), nil, flagNamed|flagDead, 1<<47, 1<<47))
	f.Fuzz(func(t *testing.T, raw string) {
		h, err := parseHeader(raw)
		if err != nil {
			return
		}
		_, _ = h.decode() // what is no protobuf is an error, and no panic
		c := content{flags: h.flags, client: h.clientID, hash: h.hash, record: []byte(h.record)}
		back := c.appendTail(append48(append24(append48(nil, h.version), h.ref), h.incarnation), h.segment, h.due)
		// appendTail writes no attempts, as befits a new record.
		require.Equal(t, raw[:25], string(back[:25]))
		if at := len(raw) - len(h.record) - straySize; h.is(flagStray) {
			raw = raw[:at] + raw[at+straySize:] // nor has a new record a stray delivery
		}
		require.Equal(t, raw[27:], string(back[27:]))
		require.GreaterOrEqual(t, h.attempts, 0)
	})
}

func FuzzEntries(f *testing.F) {
	f.Add("1-1", strings.Repeat("e", 18))
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, e string) {
		entries, err := parseEntries([]any{id, e, id})
		if len(e) != 18 {
			require.ErrorIs(t, err, carillon.ErrUnavailable)
			return
		}
		require.NoError(t, err)
		require.Len(t, entries, 1)
		back := append48(append24(append([]byte(nil), entries[0].Unique[:]...), entries[0].Ref), entries[0].Due)
		require.Equal(t, e, string(back))
		require.Equal(t, id, entries[0].ID)
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(listCursor{Slot: 3, Scan: 1 << 63, After: bytes.Repeat([]byte{0xff}, 9), Next: 5}.String())
	f.Add("eyJzIjotMX0")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCursor(text, 16)
		if err != nil {
			require.ErrorIs(t, err, carillon.ErrInvalidArgument)
			require.Equal(t, "cursor", carillon.AsError(err).Field)
			return
		}
		require.GreaterOrEqual(t, c.Slot, 0)
		require.Less(t, c.Slot, 16)
		back, err := parseCursor(c.String(), 16)
		require.NoError(t, err)
		require.Equal(t, c.String(), back.String())
	})
}

func FuzzOutcome(f *testing.F) {
	f.Add("")
	f.Add("F" + strings.Repeat("\x00", 26) + "\x01c")
	f.Add("C" + strings.Repeat("\xff", 26) + "\xff")
	f.Fuzz(func(t *testing.T, raw string) {
		info, err := parseOutcome(raw)
		if err == nil {
			require.True(t, info.State.Done())
		}
	})
}

func TestEarlierCursor(t *testing.T) {
	t.Parallel()
	// The order in which a scan of a table of 8 places goes.
	order := []uint64{4, 2, 6, 1, 5, 3, 7, 0}
	for i, a := range order {
		for j, b := range order {
			require.Equal(t, order[min(i, j)], earlier(a, b))
		}
	}
}

func TestClipKeepsText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "short", clip("short"))
	require.True(t, strings.HasSuffix(clip(strings.Repeat("ü", 1000)), "…"))
	require.Equal(t, "a\uFFFDb", clip("a\xffb"))
}
