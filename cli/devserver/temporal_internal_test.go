package devserver

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLostRaceForAPort lets another listener take a port between the moment it was picked and the moment it is used: the server
// takes that for fatal, and the caller has to hear of it, with everything given back.
func TestLostRaceForAPort(t *testing.T) {
	t.Parallel()
	options, err := TemporalOptions{DBFile: filepath.Join(t.TempDir(), "temporal.db")}.withDefaults()
	require.NoError(t, err)
	for name, lose := range map[string]func(*temporalPorts) *int{
		"frontend": func(p *temporalPorts) *int { return &p.frontend },
		"HTTP API": func(p *temporalPorts) *int { return &p.http },
		"worker":   func(p *temporalPorts) *int { return &p.worker },
	} {
		listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
		require.NoError(t, err)
		ports, err := pickTemporalPorts(options)
		require.NoError(t, err)
		*lose(&ports) = listener.Addr().(*net.TCPAddr).Port
		_, err = startTemporal(t.Context(), options, ports)
		require.Error(t, err, name)
		require.True(t, isPortInUse(err), "%s: %v", name, err)
		t.Log(name, err)
		require.NoError(t, listener.Close())
	}
	server, err := StartTemporal(t.Context(), options)
	require.NoError(t, err)
	require.NoError(t, server.Stop())
}
