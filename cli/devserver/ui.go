package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

// uiStopTimeout is how long the Web UI may take to close its connections.
const uiStopTimeout = 10 * time.Second

// UIOptions configures [StartUI].
type UIOptions struct {
	// IP is where the Web UI listens. Default "": 127.0.0.1. It lets everybody who reaches it do everything.
	IP string
	// Port is the HTTP port; Temporal's usual one is 8233. Default 0: a free one.
	Port int
	// TemporalAddress is the host:port of the frontend. Required by StartUI; Start fills it in.
	TemporalAddress string
	// DefaultNamespace is the namespace that the first page shows. Default "": "default".
	DefaultNamespace string
	// CodecEndpoint is the URL of a codec server, with which the browser decodes payloads. Default "": none; each user can
	// still name one in the browser.
	CodecEndpoint string
}

// UI is a running Temporal Web UI.
type UI struct {
	server  *uiserver.Server
	url     string
	stopped chan struct{}
	stop    sync.Once
	stopErr error
}

// StartUI starts the Web UI and returns when it answers. ctx bounds the start only; it runs until [UI.Stop]. The Temporal
// server need not be up, and may be restarted on the same address.
func StartUI(ctx context.Context, options UIOptions) (*UI, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	u := &UI{
		url:     "http://" + net.JoinHostPort(dialable(options.IP), strconv.Itoa(options.Port)),
		stopped: make(chan struct{}),
	}
	if err := u.build(options); err != nil {
		return nil, fmt.Errorf("web UI: %w", err)
	}
	go func() {
		defer close(u.stopped)
		// It returns nothing but nil: when it cannot listen, it ends the process. That is why withDefaults tries the port.
		_ = u.server.Start()
	}()
	if err := u.awaitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("web UI at %s started but does not answer: %w", u.url, err), u.Stop())
	}
	return u, nil
}

func (o UIOptions) withDefaults() (UIOptions, error) {
	var err error
	if o.IP, err = checkIP("web UI", o.IP); err != nil {
		return o, err
	}
	if o.TemporalAddress == "" {
		return o, errors.New("web UI: no TemporalAddress: give the host:port of the Temporal frontend")
	}
	if o.DefaultNamespace == "" {
		o.DefaultNamespace = DefaultNamespace
	}
	if o.Port != 0 {
		return o, checkPort("web UI", o.IP, o.Port)
	}
	ports, err := freePorts(o.IP, 1)
	if err != nil {
		return o, fmt.Errorf("web UI: %w", err)
	}
	o.Port = ports[0]
	return o, nil
}

// build makes the server, whose constructor panics on a configuration that it does not like.
func (u *UI) build(options UIOptions) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("not built: %v", reason)
		}
	}()
	host := options.IP
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		host = "[" + host + "]" // it joins host and port with a colon, whatever the host is
	}
	u.server = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                host,
		Port:                options.Port,
		TemporalGRPCAddress: options.TemporalAddress,
		DefaultNamespace:    options.DefaultNamespace,
		EnableUI:            true,
		Codec:               uiconfig.Codec{Endpoint: options.CodecEndpoint},
		// Over plain HTTP a browser does not send back a cookie marked secure, and then every button of the UI fails.
		CORS: uiconfig.CORS{CookieInsecure: true},
		// Its log and banner go to standard output, which belongs to the program.
		HideLogs: true,
		// A development server calls nobody.
		DisableNewsFetch: true,
	}))
	return nil
}

func (u *UI) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url+"/healthz", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	err = poll(ctx, func() bool {
		response, err := client.Do(request)
		if err != nil {
			last = err
			return false
		}
		last = fmt.Errorf("health check: %s", response.Status)
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// URL is what to open in a browser, without a slash at the end.
func (u *UI) URL() string { return u.url }

// Stop stops the Web UI and gives its port back. It may be called more than once.
func (u *UI) Stop() error {
	u.stop.Do(func() {
		u.server.Stop()
		select {
		case <-u.stopped:
		case <-time.After(uiStopTimeout):
			u.stopErr = fmt.Errorf("web UI at %s: not stopped after %s", u.url, uiStopTimeout)
		}
	})
	return u.stopErr
}
