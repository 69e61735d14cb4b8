package target

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	testID  = carillon.NewID(0, 7, carillon.MintedUnique(3, 4))
	testDue = time.Date(2030, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	testAt  = time.Date(2030, 1, 2, 3, 4, 6, 1, time.UTC)

	loopback = netip.MustParsePrefix("127.0.0.1/32")
)

func payloadBytes(t testing.TB, encoding, data string) []byte {
	t.Helper()
	b, err := carillon.MarshalPayload(&commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte(data),
	})
	require.NoError(t, err)
	return b
}

func newTargets(t testing.TB, o Options) *Targets {
	t.Helper()
	targets, err := New(o)
	require.NoError(t, err)
	t.Cleanup(targets.Close)
	return targets
}

func delivery(to carillon.Target) *Delivery {
	return &Delivery{
		TimerID: testID, ClientID: "shop", Incarnation: 42, FireAt: testDue, Attempt: 1, At: testAt, Target: to,
	}
}

// received is a request as a receiver saw it.
type received struct {
	*http.Request
	body []byte
}

// receiver is an HTTP server that remembers what it got.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []received
}

func newReceiver(t testing.TB, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(r.handler(answer))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) handler(answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.mu.Lock()
		r.got = append(r.got, received{request, body})
		r.mu.Unlock()
		answer(w, request)
	})
}

func (r *receiver) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// freePort is a port of loopback where nobody listens.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return port
}
