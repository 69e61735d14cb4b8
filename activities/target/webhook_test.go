package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
)

// local lets webhooks go to 127.0.0.1 and to no other address that is not public.
var local = Options{Webhook: WebhookOptions{AllowNetworks: []netip.Prefix{loopback}}}

func TestWebhookRequest(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, status(http.StatusNoContent))
	d := delivery(carillon.Target{Webhook: &carillon.WebhookTarget{
		URL: r.URL + "/hook?x=1", Headers: map[string]string{"authorization": "Bearer secret", "X-Own": "ü"},
	}})
	d.ClientID, d.Name, d.Attempt, d.Occurrence = "café 50%", "order 7", 3, 2
	d.Payload = payloadBytes(t, "json/plain", `{"a":1}`)
	require.NoError(t, newTargets(t, local).Deliver(t.Context(), d))

	require.Len(t, r.requests(), 1)
	got := r.requests()[0]
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "/hook?x=1", got.RequestURI)
	require.JSONEq(t, `{"a":1}`, string(got.body))
	for name, want := range map[string]string{
		"webhook-id":          testID.String() + "-42-2",
		"webhook-timestamp":   "1893553446",
		"carillon-timer-id":   testID.String(),
		"carillon-client-id":  "caf%C3%A9 50%25",
		"carillon-timer-name": "order 7",
		"carillon-fire-at":    "2030-01-02T03:04:05.678Z",
		"carillon-attempt":    "3",
		"carillon-occurrence": "2",
		"content-type":        "application/json",
		"user-agent":          "carillon",
		"authorization":       "Bearer secret",
		"x-own":               "ü",
	} {
		require.Equal(t, []string{want}, got.Header.Values(name), name)
	}
	require.NotContains(t, got.Header, "Idempotency-Key")
	require.NotContains(t, got.Header, "Accept-Encoding")
}

func TestWebhookLeavesOut(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, status(http.StatusOK))
	d := delivery(carillon.ToWebhook(r.URL))
	d.At = time.Time{}
	before := time.Now()
	require.NoError(t, newTargets(t, Options{Webhook: WebhookOptions{AllowPrivate: true, UserAgent: "ours/1"}}).
		Deliver(t.Context(), d))
	got := r.requests()[0]
	require.NotContains(t, got.Header, http.CanonicalHeaderKey(headerTimerName))
	require.NotContains(t, got.Header, http.CanonicalHeaderKey(headerOccurrence))
	require.NotContains(t, got.Header, "Content-Type")
	require.Equal(t, "ours/1", got.UserAgent())
	require.Empty(t, got.body)
	require.GreaterOrEqual(t, got.Header.Get(headerTimestamp), fmt.Sprint(before.Unix()))
}

func TestWebhookBody(t *testing.T) {
	t.Parallel()
	encrypted := &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "key": {1, 2}}, Data: []byte{0, 255},
	}
	reference := &commonpb.Payload{
		Metadata: map[string][]byte{
			"encoding":    []byte("json/protobuf"),
			"messageType": []byte("temporal.api.sdk.v1.ExternalStorageReference"),
		}, Data: []byte(`{}`),
	}
	whole := func(p *commonpb.Payload) []byte {
		b, err := carillon.MarshalPayload(p)
		require.NoError(t, err)
		return b
	}
	for _, test := range []struct {
		name        string
		payload     []byte
		body        string
		contentType string
	}{
		{"none", nil, "", ""},
		{"null", payloadBytes(t, "binary/null", ""), "", ""},
		{"json", payloadBytes(t, "json/plain", ` {"a": "<&>"} `), ` {"a": "<&>"} `, contentJSON},
		{"json of protobuf", payloadBytes(t, "json/protobuf", `{"b":2}`), `{"b":2}`, contentJSON},
		{"bytes", payloadBytes(t, "binary/plain", "\x00\xff"), "\x00\xff", contentBytes},
		{"encrypted", whole(encrypted), "", contentPayload},
		{"kept elsewhere", whole(reference), "", contentPayload},
		{"no encoding", whole(&commonpb.Payload{Data: []byte("x")}), "", contentPayload},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body, contentType, err := webhookBody(test.payload)
			require.NoError(t, err)
			require.Equal(t, test.contentType, contentType)
			if contentType != contentPayload {
				require.Equal(t, test.body, string(body))
				return
			}
			require.True(t, json.Valid(body))
			var got, want commonpb.Payload
			require.NoError(t, protojson.Unmarshal(body, &got))
			require.NoError(t, proto.Unmarshal(test.payload, &want))
			require.True(t, proto.Equal(&want, &got), "%s", body)
		})
	}
	_, _, err := webhookBody([]byte{0xff})
	require.Equal(t, VerdictDead, Classify(err).Kind)
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
}

func TestWebhookStatus(t *testing.T) {
	t.Parallel()
	targets := newTargets(t, local)
	for code, want := range map[int]VerdictKind{
		200: VerdictDelivered, 201: VerdictDelivered, 202: VerdictDelivered, 204: VerdictDelivered, 299: VerdictDelivered,
		300: VerdictDead, 301: VerdictDead, 302: VerdictDead, 303: VerdictDead, 304: VerdictDead,
		307: VerdictDead, 308: VerdictDead, // without a Location
		400: VerdictDead, 401: VerdictDead, 403: VerdictDead, 404: VerdictDead, 409: VerdictDead, 410: VerdictDead,
		413: VerdictDead, 422: VerdictDead, 499: VerdictDead,
		408: VerdictRetry, 425: VerdictRetry, 429: VerdictRetry,
		500: VerdictRetry, 501: VerdictRetry, 502: VerdictRetry, 503: VerdictRetry, 504: VerdictRetry, 599: VerdictRetry,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, status(code))
			err := targets.Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL)))
			require.Equal(t, Verdict{Kind: want}, Classify(err), "%v", err)
			require.Len(t, r.requests(), 1)
			if err != nil {
				require.ErrorContains(t, err, fmt.Sprint(code))
			}
		})
	}
}

func TestWebhookShowsLittleOfTheAnswer(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("no such\r\n\x00order \xff" + strings.Repeat("x", 1<<20)))
	})
	err := newTargets(t, local).Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL+"/path?token=secret")))
	require.ErrorContains(t, err, "no such order ?xxx")
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "path")
	require.Less(t, len(err.Error()), maxShown+100)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"7", "", 7 * time.Second},
		{" 7 ", "", 7 * time.Second},
		{"0", "", 0},
		{"-1", "", 0},
		{"1.5", "", 0},
		{"soon", "", 0},
		{"999999", "", MaxRetryAfter},
		{"99999999999999999999999", "", MaxRetryAfter},
		{at(time.Minute), "", time.Minute},
		{at(-time.Minute), "", 0},
		{at(1000 * time.Hour), "", MaxRetryAfter},
		{at(time.Minute), at(30 * time.Second), 30 * time.Second},
		{at(time.Minute), "nonsense", time.Minute},
	} {
		h := http.Header{"Retry-After": {test.value}, "Date": {test.date}}
		require.Equal(t, test.want, retryAfter(h, now), "%q %q", test.value, test.date)
	}

	for _, code := range []int{429, 503} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(code)
		})
		err := newTargets(t, local).Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL)))
		require.Equal(t, Verdict{VerdictRetry, 2 * time.Minute}, Classify(err))
	}
}

// silent is a receiver that does not answer before the test is over.
func silent(t *testing.T) (r *receiver, arrived chan struct{}) {
	t.Helper()
	arrived = make(chan struct{}, 1)
	over := make(chan struct{})
	r = newReceiver(t, func(_ http.ResponseWriter, request *http.Request) {
		arrived <- struct{}{}
		select {
		case <-over:
		case <-request.Context().Done():
		}
	})
	t.Cleanup(func() { close(over) })
	return r, arrived
}

func TestWebhookTimeout(t *testing.T) {
	t.Parallel()
	r, _ := silent(t)
	to := carillon.Target{Webhook: &carillon.WebhookTarget{URL: r.URL, Timeout: carillon.Duration(50 * time.Millisecond)}}
	begun := time.Now()
	err := newTargets(t, local).Deliver(t.Context(), delivery(to))
	require.Equal(t, Verdict{Kind: VerdictRetry}, Classify(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "no answer within 50ms")
	require.Less(t, time.Since(begun), DefaultWebhookTimeout)
}

func TestWebhookTrickle(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	r := newReceiver(t, func(w http.ResponseWriter, request *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		select {
		case <-over:
		case <-request.Context().Done():
		}
	})
	t.Cleanup(func() { close(over) })
	begun := time.Now()
	require.NoError(t, newTargets(t, local).Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL))),
		"2xx is success, whatever becomes of the body")
	require.Less(t, time.Since(begun), DefaultWebhookTimeout, "and it does not hold up the lane")
}

func TestWebhookStop(t *testing.T) {
	t.Parallel()
	r, arrived := silent(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	err := newTargets(t, local).Deliver(ctx, delivery(carillon.ToWebhook(r.URL)))
	require.Equal(t, Verdict{Kind: VerdictDefer}, Classify(err), "the worker stopped: %v", err)
}

func TestWebhookUnreachable(t *testing.T) {
	t.Parallel()
	err := newTargets(t, local).Deliver(t.Context(),
		delivery(carillon.ToWebhook("http://127.0.0.1:"+freePort(t)+"/?token=secret")))
	require.Equal(t, Verdict{Kind: VerdictRetry}, Classify(err))
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "secret")
}

func TestWebhookBadURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"ftp://host/", "http://", "http://%zz?secret", "/path"} {
		err := newTargets(t, local).Deliver(t.Context(), delivery(carillon.ToWebhook(bad)))
		require.Equal(t, VerdictDead, Classify(err).Kind, bad)
		require.NotContains(t, err.Error(), "secret")
	}
}

// A receiver closes a connection that has been idle: the next delivery must not fail on it.
func TestWebhookStaleConnection(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, status(http.StatusOK))
	targets := newTargets(t, local)
	for range 20 {
		require.NoError(t, targets.Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL))))
		r.CloseClientConnections()
	}
	require.Len(t, r.requests(), 20)
}

func TestWebhookKeepsConnections(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 32<<10))
	})
	targets := newTargets(t, local)
	from := map[string]bool{}
	for range 5 {
		require.NoError(t, targets.Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL))))
	}
	for _, got := range r.requests() {
		from[got.RemoteAddr] = true
	}
	require.Len(t, from, 1, "each answer is read, so that its connection is used again")
}

func TestWebhookPrivateAddress(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, status(http.StatusOK))
	port := r.Listener.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	targets := newTargets(t, Options{})
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1.2.3"} {
		err := targets.Deliver(t.Context(), delivery(carillon.ToWebhook("http://"+host+":"+strconv.Itoa(int(port))+"/")))
		require.Equal(t, Verdict{Kind: VerdictDead}, Classify(err), "%s: %v", host, err)
		require.ErrorContains(t, err, "is not public", host)
	}
	require.Empty(t, r.requests())
}

func TestWebhookNameThatChanges(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, status(http.StatusOK))
	dns := newNameServer("8.8.8.8", "127.0.0.1")
	o := Options{Webhook: WebhookOptions{Resolver: dns.resolver()}}
	_, port, _ := strings.Cut(r.Listener.Addr().String(), ":")

	// Who looks first and connects later sees a public address …
	addrs, err := o.Webhook.Resolver.LookupNetIP(t.Context(), "ip4", "rebind.example")
	require.NoError(t, err)
	require.NoError(t, (&guard{}).check(addrs[0]))
	// … and connects to another one.
	err = newTargets(t, o).Deliver(t.Context(), delivery(carillon.ToWebhook("http://rebind.example:"+port)))
	require.Equal(t, Verdict{Kind: VerdictDead}, Classify(err), "%v", err)
	require.ErrorContains(t, err, "127.0.0.1 is not public")
	require.Empty(t, r.requests())

	o.Webhook.AllowNetworks = []netip.Prefix{loopback}
	require.NoError(t, newTargets(t, o).Deliver(t.Context(), delivery(carillon.ToWebhook("http://rebind.example:"+port))))
	require.Len(t, r.requests(), 1)
}

func TestWebhookNoSuchName(t *testing.T) {
	t.Parallel()
	o := Options{Webhook: WebhookOptions{Resolver: newNameServer().resolver()}}
	err := newTargets(t, o).Deliver(t.Context(), delivery(carillon.ToWebhook("http://gone.example")))
	require.Equal(t, Verdict{Kind: VerdictRetry}, Classify(err), "%v", err)
	require.ErrorContains(t, err, "no such host")
}

// redirecting answers with a redirect to where next says.
func redirecting(code int, next func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Location", next(request))
		w.WriteHeader(code)
	}
}

func TestWebhookRedirect(t *testing.T) {
	t.Parallel()
	for _, code := range []int{307, 308} {
		end := newReceiver(t, status(http.StatusOK))
		begin := newReceiver(t, redirecting(code, func(*http.Request) string { return end.URL + "/end" }))
		d := delivery(carillon.Target{Webhook: &carillon.WebhookTarget{
			URL: begin.URL, Headers: map[string]string{"Authorization": "secret", "User-Agent": "theirs"},
		}})
		d.Payload = payloadBytes(t, "json/plain", `{"a":1}`)
		require.NoError(t, newTargets(t, local).Deliver(t.Context(), d))
		got := end.requests()[0]
		require.Equal(t, http.MethodPost, got.Method)
		require.Equal(t, "/end", got.RequestURI)
		require.Equal(t, `{"a":1}`, string(got.body))
		require.Equal(t, d.Key(), got.Header.Get(headerKey))
		require.Equal(t, "secret", begin.requests()[0].Header.Get("Authorization"))
		require.NotContains(t, got.Header, "Authorization", "another port is another receiver")
		require.Equal(t, "carillon", got.UserAgent())
	}
}

func TestWebhookRedirectWithinReceiver(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/end" {
			return
		}
		redirecting(308, func(*http.Request) string { return "/end" })(w, request)
	})
	d := delivery(carillon.Target{Webhook: &carillon.WebhookTarget{
		URL: r.URL + "/begin", Headers: map[string]string{"Authorization": "secret"},
	}})
	require.NoError(t, newTargets(t, local).Deliver(t.Context(), d))
	require.Len(t, r.requests(), 2)
	require.Equal(t, "secret", r.requests()[1].Header.Get("Authorization"))
}

func TestWebhookRedirectRefused(t *testing.T) {
	t.Parallel()
	inside := newReceiver(t, status(http.StatusOK))
	insidePort := inside.Listener.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	for name, location := range map[string]string{
		"private address":    fmt.Sprintf("http://127.0.0.2:%d/", insidePort), // 127.0.0.1 alone is allowed
		"metadata service":   "http://169.254.169.254/latest/meta-data/",
		"mapped address":     fmt.Sprintf("http://[::ffff:127.0.0.2]:%d/", insidePort),
		"other scheme":       "ftp://127.0.0.1/",
		"no host":            "http:///path",
		"no URL":             "http://%zz/",
		"for ever to itself": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, redirecting(307, func(request *http.Request) string {
				if location == "" {
					return "http://" + request.Host + "/again"
				}
				return location
			}))
			err := newTargets(t, local).Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL)))
			require.Equal(t, Verdict{Kind: VerdictDead}, Classify(err), "%v", err)
			if location == "" {
				require.Len(t, r.requests(), 1+MaxRedirects)
			}
			require.NotContains(t, err.Error(), "latest")
		})
	}
	t.Cleanup(func() { require.Empty(t, inside.requests()) })
}

func TestWebhookTLS(t *testing.T) {
	t.Parallel()
	plain := newReceiver(t, status(http.StatusOK))
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r.handler(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/down" {
			redirecting(307, func(*http.Request) string { return plain.URL })(w, request)
		}
	}))
	r.EnableHTTP2 = true
	r.Config.ErrorLog = log.New(io.Discard, "", 0) // a handshake is meant to fail
	r.StartTLS()
	t.Cleanup(r.Close)
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())

	err := newTargets(t, local).Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL)))
	require.Equal(t, Verdict{Kind: VerdictRetry}, Classify(err), "nobody vouches for the receiver: %v", err)
	require.ErrorContains(t, err, "certificate")
	require.Empty(t, r.requests())

	o := local
	o.Webhook.TLS = &tls.Config{RootCAs: roots}
	targets := newTargets(t, o)
	require.NoError(t, targets.Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL))))
	require.Equal(t, 2, r.requests()[0].ProtoMajor)

	err = targets.Deliver(t.Context(), delivery(carillon.ToWebhook(r.URL+"/down")))
	require.Equal(t, Verdict{Kind: VerdictDead}, Classify(err))
	require.ErrorContains(t, err, "not encrypted")
	require.Empty(t, plain.requests())
}

func TestSameReceiver(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to string
		same     bool
	}{
		{"https://a.example/x", "https://A.example/y", true},
		{"https://a.example", "https://a.example:443", true},
		{"http://a.example", "https://a.example", true},
		{"http://a.example:8080", "https://a.example", false},
		{"https://a.example", "https://a.example:8443", false},
		{"https://a.example", "https://b.a.example", false},
		{"https://a.example", "https://evil.example", false},
	} {
		from, err := url.Parse(test.from)
		require.NoError(t, err)
		to, err := url.Parse(test.to)
		require.NoError(t, err)
		require.Equal(t, test.same, sameReceiver(from, to), "%s %s", test.from, test.to)
	}
}
