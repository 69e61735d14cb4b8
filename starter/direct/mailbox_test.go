package direct_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/direct"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// lossy is a connection to Redis that breaks in the middle of an answer when it is told to.
type lossy struct {
	net.Listener

	server string
	lose   atomic.Pointer[[]byte] // the next answer that holds this is lost
	conns  sync.WaitGroup
}

func startLossy(t *testing.T, server string) *lossy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &lossy{Listener: listener, server: server}
	l.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			l.conns.Go(func() { l.serve(conn) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		l.conns.Wait()
	})
	return l
}

func (l *lossy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	l.conns.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if mark := l.lose.Load(); mark != nil && bytes.Contains(buf[:n], *mark) && l.lose.CompareAndSwap(mark, nil) {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// fire fires a timer with that payload into the mailbox of "client".
func fire(t *testing.T, s *store.Redis, payload string) {
	t.Helper()
	_, err := s.Create(t.Context(), carillon.CreateTimersInput{RequestID: payload, Timers: []carillon.TimerSpec{{
		ClientID: "client",
		FireAt:   s.Clock(0).Now().Add(-time.Second), // due by the store's own clock, too
		Target:   carillon.ToMailbox(), Payload: &commonpb.Payload{Data: []byte(payload)},
	}}})
	require.NoError(t, err)
	lane := store.LaneID{}
	token, err := s.AcquireLane(t.Context(), lane, "lane")
	require.NoError(t, err)
	entries, err := s.Read(t.Context(), lane, token, "", 10)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	firings, err := s.Fetch(t.Context(), lane, entries)
	require.NoError(t, err)
	results, err := s.Claim(t.Context(), lane, token, []store.Claim{{Entry: entries[0], Firing: firings[0], Timeout: time.Second}})
	require.NoError(t, err)
	require.Equal(t, store.ClaimFired, results[0].Status)
	require.NoError(t, s.ReleaseLane(t.Context(), lane, token))
}

// What was in an answer that got lost is received at the next try, and what is being worked on does not come again.
func TestMailboxAfterALostAnswer(t *testing.T) {
	t.Parallel()
	server := redistest.Embedded(t).Addr()
	proxy := startLossy(t, server)
	open := func(addr string) *store.Redis {
		client := redis.NewClient(&redis.Options{Addr: addr})
		s, err := store.Open(t.Context(), client, store.Options{Group: "direct", Slots: 1, AllowVolatile: true})
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, s.Close())
			require.NoError(t, client.Close())
		})
		return s
	}
	s := open(server)
	box, err := direct.OpenMailbox(t.Context(), open(proxy.Addr().String()), direct.MailboxOptions{ClientID: "client"})
	require.NoError(t, err)

	receive := func() string {
		t.Helper()
		messages, err := box.Receive(t.Context())
		require.NoError(t, err)
		require.Len(t, messages, 1)
		return string(messages[0].Timer.Payload.Data)
	}
	fire(t, s, "in-hand")
	messages, err := box.Receive(t.Context())
	require.NoError(t, err)
	require.Len(t, messages, 1)

	mark := []byte("is-lost")
	proxy.lose.Store(&mark)
	fire(t, s, "is-lost")
	_, err = box.Receive(t.Context())
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.Nil(t, proxy.lose.Load(), "the answer was given")
	require.Equal(t, "is-lost", receive())
	fire(t, s, "is-new")
	require.Equal(t, "is-new", receive())

	require.NoError(t, box.Ack(t.Context(), messages...))
	n, err := box.Len(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}
