package target

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-io/carillon"
)

const (
	// MaxRedirects is how many redirects a webhook follows.
	MaxRedirects = 3
	// MaxRetryAfter bounds what a receiver can ask for by Retry-After.
	MaxRetryAfter = time.Hour

	// maxShown is how much of an answer's body an error shows, in bytes.
	maxShown = 200
	// maxDrained is how much of an answer's body is read, so that its connection can be used again.
	maxDrained = 64 << 10
	// drainTime is how long that may take: once the status is known, nothing depends on the rest.
	drainTime = 250 * time.Millisecond
)

// WebhookOptions says how webhooks are posted. The zero value posts to public addresses only.
type WebhookOptions struct {
	// AllowPrivate lets webhooks go to every address: loopback, private networks, and the metadata services of clouds
	// too. Only where everyone who may create timers may reach all of these.
	AllowPrivate bool
	// AllowNetworks are networks that webhooks may go to although they are not public. Prefer it to AllowPrivate.
	AllowNetworks []netip.Prefix
	// UserAgent of the requests. Empty: "carillon".
	UserAgent string
	// TLS says how receivers are verified (their CAs, a client certificate). Nil: as the system does.
	TLS *tls.Config
	// Resolver resolves names. Nil: as the system does.
	Resolver *net.Resolver
	// MaxConnsPerHost bounds the connections to one host, so that one receiver that is slow does not take all: what comes
	// on top waits, within its timeout. 0: 64.
	MaxConnsPerHost int
	// MaxIdleConns bounds the connections that are kept open for later, in all. 0: 1024.
	MaxIdleConns int
	// IdleTimeout is how long a connection is kept open without use. 0: 90 s.
	IdleTimeout time.Duration
}

type webhooks struct {
	// transport is used without an http.Client, whose ways with redirects, cookies and Referer are not wanted.
	transport *http.Transport
	userAgent string
}

func newWebhooks(o WebhookOptions) (*webhooks, error) {
	switch {
	case o.MaxConnsPerHost < 0:
		return nil, carillon.InvalidArgument("Webhook.MaxConnsPerHost", "%d is negative; 0 means 64", o.MaxConnsPerHost)
	case o.MaxIdleConns < 0:
		return nil, carillon.InvalidArgument("Webhook.MaxIdleConns", "%d is negative; 0 means 1024", o.MaxIdleConns)
	case o.IdleTimeout < 0:
		return nil, carillon.InvalidArgument("Webhook.IdleTimeout", "%s is negative; 0 means 90 s", o.IdleTimeout)
	}
	for _, p := range o.AllowNetworks {
		if !p.IsValid() {
			return nil, carillon.InvalidArgument("Webhook.AllowNetworks", "%q is no network; write one like 10.1.0.0/16", p)
		}
	}
	orElse := func(n, otherwise int) int {
		if n == 0 {
			return otherwise
		}
		return n
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 90 * time.Second
	}
	if o.UserAgent == "" {
		o.UserAgent = "carillon"
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		tlsConfig = o.TLS.Clone()
	}
	g := &guard{private: o.AllowPrivate, allowed: o.AllowNetworks}
	dialer := &net.Dialer{KeepAlive: 30 * time.Second, Control: g.control, Resolver: o.Resolver}
	perHost := orElse(o.MaxConnsPerHost, 64)
	return &webhooks{
		userAgent: o.UserAgent,
		transport: &http.Transport{
			// No proxy: it would be the proxy's address that is checked.
			DialContext:            dialer.DialContext,
			TLSClientConfig:        tlsConfig,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        perHost,
			MaxIdleConnsPerHost:    perHost,
			MaxIdleConns:           orElse(o.MaxIdleConns, 1024),
			IdleConnTimeout:        o.IdleTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // of the answer next to nothing is read
		},
	}, nil
}

func (w *webhooks) close() { w.transport.CloseIdleConnections() }

func (w *webhooks) deliver(ctx context.Context, d *Delivery) error {
	to := d.Target.Webhook
	body, contentType, err := webhookBody(d.Payload)
	if err != nil {
		return err
	}
	at, err := webhookURL(to.URL)
	if err != nil {
		return Permanent(fmt.Errorf("webhook: %w", err))
	}
	// Every hop of a redirect shares the one timeout.
	timeout := webhookTimeout(to)
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	header := w.header(d, contentType, to.Headers)
	for hops := 0; ; hops++ {
		next, err := w.post(attempt, at, header, body)
		switch {
		case err == nil && next == nil:
			return nil
		case err != nil && marked(err):
			return webhookError(at, err)
		case err != nil && errors.Is(ctx.Err(), context.Canceled):
			return Deferred(webhookError(at, err), 0) // the worker stops: whoever comes next goes on at once
		case err != nil && attempt.Err() != nil:
			return webhookError(at, fmt.Errorf("no answer within %s: %w", timeout, err))
		case err != nil:
			return webhookError(at, err)
		case hops == MaxRedirects:
			return Permanent(webhookError(at, fmt.Errorf("it redirects once more after %d redirects", hops)))
		case at.Scheme == "https" && next.Scheme != "https":
			return Permanent(webhookError(at, fmt.Errorf("it redirects to %s, which is not encrypted", origin(next))))
		}
		if !sameReceiver(at, next) {
			// The target's own headers may hold credentials, which are meant for the first receiver alone.
			header = w.header(d, contentType, nil)
		}
		at = next
	}
}

// header is that of the request. Carillon's own headers come last, so that no other can stand in their place.
func (w *webhooks) header(d *Delivery, contentType string, own map[string]string) http.Header {
	h := http.Header{}
	h.Set("User-Agent", w.userAgent)
	for name, value := range own {
		h.Set(name, value)
	}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	d.setHeaders(h)
	// It lets the transport repeat a request that met a connection which the receiver had just closed; being empty, it
	// is not sent. The receiver goes by webhook-id.
	if _, set := h["Idempotency-Key"]; !set {
		h["Idempotency-Key"] = []string{}
	}
	return h
}

// post makes one request. It gives where it is redirected to, or nil where it was accepted.
func (w *webhooks) post(ctx context.Context, to *url.URL, header http.Header, body []byte) (*url.URL, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, Permanent(errors.New("its URL cannot be requested")) // err shows it, with what secrets it has
	}
	request.Header = header.Clone()
	response, err := w.transport.RoundTrip(request)
	if err != nil {
		return nil, connectionError(err)
	}
	defer response.Body.Close()
	defer time.AfterFunc(drainTime, cancel).Stop()
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		// It is accepted, whatever becomes of the rest of the answer.
		_, _ = io.CopyN(io.Discard, response.Body, maxDrained)
		return nil, nil
	case status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect:
		_, _ = io.CopyN(io.Discard, response.Body, maxDrained)
		next, err := redirect(response)
		if err != nil {
			return nil, Permanent(fmt.Errorf("it answered %s: %w", statusText(response), err))
		}
		return next, nil
	default:
		return nil, refusal(response)
	}
}

// refusal is the error of an answer that is neither success nor a redirect to follow.
func refusal(response *http.Response) error {
	status := response.StatusCode
	// What cannot be read is not shown: the status says it all.
	shown, _ := io.ReadAll(io.LimitReader(response.Body, maxShown+1))
	_, _ = io.CopyN(io.Discard, response.Body, maxDrained)
	err := fmt.Errorf("it answered %s", statusText(response))
	if status >= 300 && status < 400 {
		return Permanent(fmt.Errorf("%w; of the redirects, only 307 and 308 are followed", err))
	}
	if text := oneLine(string(shown), maxShown); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	switch {
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		status == http.StatusTooManyRequests:
		return RetryAfter(err, retryAfter(response.Header, time.Now()))
	default:
		return Permanent(err)
	}
}

func statusText(response *http.Response) string {
	if text := http.StatusText(response.StatusCode); text != "" {
		return fmt.Sprintf("%d %s", response.StatusCode, text)
	}
	return strconv.Itoa(response.StatusCode)
}

// retryAfter is how long an answer asks to wait: 0 if it does not, at most MaxRetryAfter.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs // by the clock that the date was taken from
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

// redirect is where an answer leads.
func redirect(response *http.Response) (*url.URL, error) {
	next, err := response.Location()
	if err != nil {
		return nil, errors.New("its Location is missing or is no URL")
	}
	return next, checkURL(next)
}

func webhookURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("its URL cannot be read") // url.Parse would show it, with what secrets it has
	}
	return u, checkURL(u)
}

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the scheme %q is neither http nor https", oneLine(u.Scheme, 20))
	case u.Hostname() == "":
		return errors.New("the URL names no host")
	}
	u.User = nil
	return nil
}

// connectionError is the error of a request that got no answer.
func connectionError(err error) error {
	if errors.As(err, new(*forbiddenError)) {
		return Permanent(err)
	}
	return err
}

func webhookError(at *url.URL, err error) error {
	return fmt.Errorf("webhook to %s: %w", origin(at), err)
}

// origin is as much of a URL as an error may show.
func origin(u *url.URL) string { return oneLine(u.Scheme+"://"+u.Host, 256) }

// sameReceiver says whether a redirect stays with its receiver: the same host and port, or the same host's https port
// instead of its http port.
func sameReceiver(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	upgrade := from.Scheme == "http" && port(from) == "80" && to.Scheme == "https" && port(to) == "443"
	return upgrade || port(from) == port(to)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

func webhookTimeout(to *carillon.WebhookTarget) time.Duration {
	if to.Timeout <= 0 {
		return DefaultWebhookTimeout
	}
	return min(time.Duration(to.Timeout), carillon.MaxWebhookTimeout)
}
