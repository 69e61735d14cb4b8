package harness

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// Link is a network link that can be made to fail: a proxy of toxiproxy in this process. It fails in one way at a time, for
// connections that are open as well as for new ones.
type Link struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// muteLinks keeps toxiproxy, which logs all that it does, silent.
var muteLinks = sync.OnceFunc(func() { zerolog.SetGlobalLevel(zerolog.Disabled) })

// NewLink opens a link to an address. It is closed with the test.
func NewLink(t testing.TB, upstream string) *Link {
	t.Helper()
	muteLinks()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Link{t: t, proxy: toxiproxy.NewProxy(server, "link", "127.0.0.1:0", upstream)}
	require.NoError(t, l.proxy.Start())
	t.Cleanup(func() {
		l.Heal()
		l.proxy.Stop()
	})
	return l
}

// LinkToRedis opens a link to the group's Redis, and gives its URL by that link.
func (g *Group) LinkToRedis(t testing.TB) (*Link, string) {
	t.Helper()
	u, err := url.Parse(g.parts.RedisURL)
	require.NoError(t, err)
	l := NewLink(t, u.Host)
	u.Host = l.Address()
	return l, u.String()
}

// LinkToTemporal opens a link to the group's Temporal server.
func (g *Group) LinkToTemporal(t testing.TB) *Link {
	t.Helper()
	return NewLink(t, g.parts.TemporalAddress)
}

// Address is host:port of this end of the link.
func (l *Link) Address() string { return l.proxy.Listen }

// Hang loses everything that is sent, without a word, until Heal closes the connections.
func (l *Link) Hang() { l.poison("timeout", `{"timeout": 0}`) }

// Stall holds back everything that is sent until Heal, and delivers it then: what has been given up long ago still arrives.
func (l *Link) Stall() { l.poison("latency", `{"latency": 3600000}`) }

// Reset ends each connection that carries something, and every new one.
func (l *Link) Reset() { l.poison("reset_peer", `{"timeout": 0}`) }

// Slow makes a round trip take that long, give or take the jitter, and lets so many KB pass in a second.
func (l *Link) Slow(roundTrip, jitter time.Duration, rate int) {
	l.poison("latency", fmt.Sprintf(`{"latency": %d, "jitter": %d}`, roundTrip.Milliseconds()/2, jitter.Milliseconds()/2))
	l.poison("bandwidth", fmt.Sprintf(`{"rate": %d}`, rate))
}

// Heal makes the link whole again.
func (l *Link) Heal() { l.proxy.Toxics.ResetToxics(context.Background()) }

// poison does not use FailNow: links are cut from other goroutines than the test's too.
func (l *Link) poison(kind, attributes string) {
	l.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": %s}`, kind, stream, attributes)
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			l.t.Errorf("link: %s: %v", kind, err)
		}
	}
}
