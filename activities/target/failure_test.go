package target

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	base := errors.New("base")
	for _, test := range []struct {
		name string
		err  error
		want Verdict
	}{
		{"nil", nil, Verdict{Kind: VerdictDelivered}},
		{"unknown", base, Verdict{Kind: VerdictRetry}},
		{"permanent", Permanent(base), Verdict{Kind: VerdictDead}},
		{"deferred", Deferred(base, time.Second), Verdict{VerdictDefer, time.Second}},
		{"deferred into the past", Deferred(base, -time.Second), Verdict{VerdictDefer, 0}},
		{"retry after", RetryAfter(base, time.Minute), Verdict{VerdictRetry, time.Minute}},
		{"wrapped", fmt.Errorf("more: %w", Permanent(base)), Verdict{Kind: VerdictDead}},
		{"joined", errors.Join(base, Deferred(base, 1)), Verdict{VerdictDefer, 1}},
		{"nil marked", Permanent(nil), Verdict{Kind: VerdictDelivered}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, Classify(test.err))
			if test.err != nil {
				require.ErrorIs(t, test.err, base)
			}
		})
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	require.Empty(t, Reason(nil))
	require.Equal(t, "two lines, a?b", Reason(errors.New("two\r\n\tlines,\x00 a\xffb ")))
	long := Reason(errors.New(strings.Repeat("é", 400)))
	require.LessOrEqual(t, len(long), MaxReason)
	require.True(t, strings.HasSuffix(long, "é…"), long)
}

func FuzzOneLine(f *testing.F) {
	f.Add("plain", 20)
	f.Add("日本語日本語", 7)
	f.Add("\xff\xfe\x00", 10)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 4 + (limit&0x7fffffff)%600
		out := oneLine(text, limit)
		require.True(t, utf8.ValidString(out))
		require.LessOrEqual(t, len(out), limit)
		require.NotContains(t, out, "\n")
	})
}

func TestSpread(t *testing.T) {
	t.Parallel()
	require.Zero(t, spread(0))
	require.Zero(t, spread(-1))
	for range 1000 {
		wait := spread(time.Second)
		require.GreaterOrEqual(t, wait, time.Second)
		require.LessOrEqual(t, wait, 1250*time.Millisecond)
	}
}
