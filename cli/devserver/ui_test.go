package devserver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/cli/devserver"
)

func TestUIWithoutTemporal(t *testing.T) {
	t.Parallel()
	options := devserver.UIOptions{TemporalAddress: "127.0.0.1:1"}
	first, err := devserver.StartUI(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, first.Stop()) })

	options.Port = port(t, first.URL()[len("http://"):])
	_, err = devserver.StartUI(t.Context(), options)
	require.ErrorIs(t, err, devserver.ErrPortInUse)

	require.NoError(t, first.Stop())
	second, err := devserver.StartUI(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, first.URL(), second.URL())
	require.NoError(t, second.Stop())
	require.NoError(t, second.Stop())
}

func TestUIRefuses(t *testing.T) {
	t.Parallel()
	_, err := devserver.StartUI(t.Context(), devserver.UIOptions{})
	require.ErrorContains(t, err, "TemporalAddress")
	_, err = devserver.StartUI(t.Context(), devserver.UIOptions{TemporalAddress: "127.0.0.1:1", IP: "example.org"})
	require.ErrorContains(t, err, "example.org")
}
