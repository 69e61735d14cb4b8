package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store"
)

func TestWorkerOfAToken(t *testing.T) {
	t.Parallel()
	for token, want := range map[store.Token]string{
		"":                               "",
		"7-host-abcdefgh-0123456789ab":   "host-abcdefgh",
		"0:7-host-abcdefgh-0123456789ab": "host-abcdefgh",
		"12:9-a.b_c-0123456789ab":        "a.b_c",
		"3-w-0123456789ab-ba9876543210":  "w-0123456789ab",
		"3-somebody else":                "somebody else",
		"3-w-0123456789AB":               "w-0123456789AB",
		"3-w-0123456789a":                "w-0123456789a",
		"3--0123456789ab":                "-0123456789ab",
	} {
		require.Equal(t, want, token.Worker(), token)
	}
}
