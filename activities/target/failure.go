package target

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"
)

// VerdictKind says what becomes of a timer after an attempt.
type VerdictKind string

// What can become of a timer after an attempt.
const (
	// VerdictDelivered: the target has it.
	VerdictDelivered VerdictKind = "delivered"
	// VerdictRetry: try again by the timer's retry policy.
	VerdictRetry VerdictKind = "retry"
	// VerdictDefer: try again later; the attempt does not count, since it was not the target's fault.
	VerdictDefer VerdictKind = "defer"
	// VerdictDead: every further attempt would fail.
	VerdictDead VerdictKind = "dead"
)

// Verdict is what Classify says.
type Verdict struct {
	Kind VerdictKind
	// After is how long to wait at the least: for VerdictDefer the wait itself, for VerdictRetry what the target asked
	// for (0: nothing).
	After time.Duration
}

// Classify says what the result of Deliver means for the timer. An error that it knows nothing about is to be retried.
func Classify(err error) Verdict {
	if err == nil {
		return Verdict{Kind: VerdictDelivered}
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		return f.verdict
	}
	return Verdict{Kind: VerdictRetry}
}

// Permanent marks an error: every further attempt would fail in the same way. Nil stays nil.
func Permanent(err error) error { return mark(err, Verdict{Kind: VerdictDead}) }

// Deferred marks an error: it was not the target's fault, and the next attempt is made after that long. Nil stays nil.
func Deferred(err error, after time.Duration) error {
	return mark(err, Verdict{Kind: VerdictDefer, After: max(after, 0)})
}

// RetryAfter marks an error: the target asks not to be tried again before that long. Nil stays nil.
func RetryAfter(err error, after time.Duration) error {
	return mark(err, Verdict{Kind: VerdictRetry, After: max(after, 0)})
}

type failure struct {
	verdict Verdict
	cause   error
}

func (f *failure) Error() string { return f.cause.Error() }

func (f *failure) Unwrap() error { return f.cause }

func mark(err error, v Verdict) error {
	if err == nil {
		return nil
	}
	return &failure{verdict: v, cause: err}
}

// marked says whether an error carries a verdict already.
func marked(err error) bool {
	var f *failure
	return errors.As(err, &f)
}

// MaxReason is the longest text that Reason gives, in bytes.
const MaxReason = 500

// Reason is the text of an error as it can be kept with a timer: one line of valid UTF-8 of at most MaxReason bytes.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	return oneLine(err.Error(), MaxReason)
}

// oneLine makes text that came from elsewhere fit to be shown: valid UTF-8, no control characters, at most limit bytes.
func oneLine(text string, limit int) string {
	cut := len(text) > limit
	if cut {
		text = text[:limit]
	}
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar {
			return '?' // what is no UTF-8, too: it must not grow
		}
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if !cut {
		return text
	}
	const more = "…"
	for len(text) > limit-len(more) {
		runes := []rune(text)
		text = string(runes[:len(runes)-1])
	}
	return text + more
}

// spread lengthens a wait by up to a quarter, so that what was deferred together does not come back together.
func spread(wait time.Duration) time.Duration {
	if wait <= 0 {
		return 0
	}
	return wait + rand.N(wait/4+1)
}
