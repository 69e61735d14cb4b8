package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRenewAfter(t *testing.T) {
	t.Parallel()
	require.Equal(t, 24*time.Hour-5*time.Minute, renewAfter(24*time.Hour))
	require.Equal(t, 9*time.Minute, renewAfter(10*time.Minute))
	require.Greater(t, renewAfter(0), 1000*time.Hour, "no limit, no renewal")
}
