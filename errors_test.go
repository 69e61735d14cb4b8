package carillon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

var allErrors = []*Error{
	ErrInvalidArgument, ErrAlreadyExists, ErrNotFound, ErrTooLate, ErrConflict, ErrQuotaExceeded, ErrUnavailable,
}

func TestErrorTable(t *testing.T) {
	t.Parallel()
	require.Len(t, errorTable, len(allErrors))
	for i, e := range allErrors {
		require.Contains(t, errorTable, e.Type)
		require.Equal(t, 2+i, ExitCode(e), e.Type)
		require.Equal(t, 2+i, ExitCode(fmt.Errorf("more: %w", e)))
		require.Equal(t, e == ErrQuotaExceeded || e == ErrUnavailable, Retryable(e), e.Type)
		for _, other := range allErrors {
			require.Equal(t, e == other, errors.Is(Errorf(e.Type, "x"), other))
		}
	}
	require.Equal(t, 0, ExitCode(nil))
	require.Equal(t, 1, ExitCode(io.EOF))
	require.Equal(t, 1, ExitCode(&Error{Type: "FromTheFuture"}))
	require.True(t, Retryable(io.EOF))
	require.True(t, Retryable(&Error{Type: "FromTheFuture"}))
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "NotFound", ErrNotFound.Error())
	require.Equal(t, "NotFound: no timer 7", Errorf(TypeNotFound, "no timer %d", 7).Error())
	e := InvalidArgument("payload", "it has %d bytes", 9)
	require.Equal(t, "InvalidArgument: payload: it has 9 bytes", e.Error())
	require.Equal(t, "InvalidArgument: timers[3].payload: it has 9 bytes", e.In("timers[3]").Error())
	require.Equal(t, "payload", e.Field, "In makes a copy")
	require.Equal(t, "place", Errorf(TypeNotFound, "x").In("place").Field)
}

func TestErrorCause(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, Errorf(TypeUnavailable, "redis: %w", io.EOF), io.EOF)
	several := Errorf(TypeUnavailable, "%w and %w", io.EOF, io.ErrClosedPipe)
	require.ErrorIs(t, several, io.EOF)
	require.ErrorIs(t, several, io.ErrClosedPipe)
	require.NotErrorIs(t, Errorf(TypeUnavailable, "redis: %v", io.EOF), io.EOF)
	require.NoError(t, Errorf(TypeUnavailable, "none").Unwrap())
}

func TestAsError(t *testing.T) {
	t.Parallel()
	require.Nil(t, AsError(nil))
	e := Errorf(TypeConflict, "x")
	require.Same(t, e, AsError(fmt.Errorf("more: %w", e)))
	require.Equal(t, TypeUnavailable, AsError(io.EOF).Type)
	require.ErrorIs(t, AsError(io.EOF), io.EOF)
	require.Equal(t, TypeConflict, AsError(fmt.Errorf("activity: %w", ToTemporal(e))).Type)
}

// acrossTemporal is what an error is after Temporal has carried it: serialised by one process and read by another.
func acrossTemporal(t *testing.T, err error) error {
	t.Helper()
	c := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: converter.GetDefaultDataConverter(),
	})
	data, marshalErr := proto.Marshal(c.ErrorToFailure(err))
	require.NoError(t, marshalErr)
	var f failurepb.Failure
	require.NoError(t, proto.Unmarshal(data, &f))
	return c.FailureToError(&f)
}

func TestTemporalRoundTrip(t *testing.T) {
	t.Parallel()
	for _, sentinel := range allErrors {
		e := Errorf(sentinel.Type, "something: %w", io.EOF)
		e.Field, e.RetryAfter = "timers[3]", Duration(1500*time.Millisecond)
		sent := ToTemporal(fmt.Errorf("more: %w", e))

		var app *temporal.ApplicationError
		require.ErrorAs(t, sent, &app)
		require.Equal(t, string(e.Type), app.Type())
		require.Equal(t, !Retryable(e), app.NonRetryable())
		require.Equal(t, time.Duration(e.RetryAfter), app.NextRetryDelay())
		if Retryable(e) {
			require.Equal(t, temporal.ApplicationErrorCategoryUnspecified, app.Category())
		} else {
			require.Equal(t, temporal.ApplicationErrorCategoryBenign, app.Category())
		}

		got := FromTemporal(fmt.Errorf("workflow failed: %w", acrossTemporal(t, sent)))
		require.ErrorIs(t, got, sentinel)
		var back *Error
		require.ErrorAs(t, got, &back)
		require.Equal(t, e.Error(), back.Error())
		require.Equal(t, e.RetryAfter, back.RetryAfter)
		require.ErrorAs(t, got, &app, "what Temporal said is kept as the cause")

		again := FromTemporal(acrossTemporal(t, ToTemporal(acrossTemporal(t, sent))))
		require.Equal(t, e.Error(), again.Error(), "a workflow hands on what its activity failed with")
	}
}

func TestToTemporalOfOthers(t *testing.T) {
	t.Parallel()
	require.NoError(t, ToTemporal(nil))
	require.ErrorIs(t, ToTemporal(context.Canceled), context.Canceled)
	cancelled := temporal.NewCanceledError()
	require.Equal(t, cancelled, ToTemporal(cancelled))
	require.True(t, temporal.IsCanceledError(ToTemporal(fmt.Errorf("more: %w", cancelled))))
	var app *temporal.ApplicationError
	require.ErrorAs(t, ToTemporal(io.EOF), &app)
	require.Equal(t, string(TypeUnavailable), app.Type())
	require.False(t, app.NonRetryable())
	require.ErrorAs(t, ToTemporal(&Error{Type: "FromTheFuture", Message: "x"}), &app)
	require.Equal(t, "FromTheFuture", app.Type())
}

func TestFromTemporalOfOthers(t *testing.T) {
	t.Parallel()
	require.NoError(t, FromTemporal(nil))
	require.Equal(t, io.EOF, FromTemporal(io.EOF))
	foreign := temporal.NewApplicationError("x", "SomebodyElses")
	require.Equal(t, foreign, FromTemporal(foreign))

	for name, app := range map[string]error{
		"no details":          temporal.NewApplicationError("gone", string(TypeNotFound)),
		"other details":       temporal.NewApplicationError("gone", string(TypeNotFound), "text"),
		"details of another":  temporal.NewApplicationError("gone", string(TypeNotFound), &Error{Type: TypeConflict}),
		"details of nobody's": temporal.NewApplicationError("gone", string(TypeNotFound), map[string]any{"a": 1}),
	} {
		err := FromTemporal(acrossTemporal(t, app))
		require.ErrorIs(t, err, ErrNotFound, name)
		require.Equal(t, "NotFound: gone", err.Error(), name)
	}
}

func TestErrorJSON(t *testing.T) {
	t.Parallel()
	e := Errorf(TypeQuotaExceeded, "too many: %w", io.EOF)
	e.RetryAfter = Duration(90 * time.Second)
	data, err := json.Marshal(e)
	require.NoError(t, err)
	require.JSONEq(t, `{"type":"QuotaExceeded","message":"too many: EOF","retry_after":"1m30s"}`, string(data))
	var back Error
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, e.Error(), back.Error())
	require.Equal(t, e.RetryAfter, back.RetryAfter)
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		`"1m30s"`: 90 * time.Second, `"0s"`: 0, `"-1s"`: -time.Second, `"1.5ms"`: 1500 * time.Microsecond, `"0"`: 0,
	} {
		var d Duration
		require.NoError(t, json.Unmarshal([]byte(text), &d), text)
		require.Equal(t, Duration(want), d)
		data, err := json.Marshal(d)
		require.NoError(t, err)
		var back Duration
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, d, back)
	}
	for _, text := range []string{`90`, `"90"`, `""`, `"soon"`, `{}`, `true`, `"1e400s"`} {
		var d Duration
		require.Error(t, json.Unmarshal([]byte(text), &d), text)
	}
	d := Duration(5)
	require.NoError(t, json.Unmarshal([]byte("null"), &d))
	require.Equal(t, Duration(5), d)
}
