package carillon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
)

// ErrorType is the kind of an error of Carillon: the type of the Temporal application error that carries it.
type ErrorType string

// The kinds of errors. errorTable says how each of them is treated.
const (
	// TypeInvalidArgument is bad input; Error.Field names what is wrong.
	TypeInvalidArgument ErrorType = "InvalidArgument"
	// TypeAlreadyExists says that the client has a different pending timer of that name.
	TypeAlreadyExists ErrorType = "AlreadyExists"
	// TypeNotFound says that there is no such timer, or none any more.
	TypeNotFound ErrorType = "NotFound"
	// TypeTooLate says that the timer is being fired and can be neither cancelled nor changed.
	TypeTooLate ErrorType = "TooLate"
	// TypeConflict says that the timer's version is not the expected one.
	TypeConflict ErrorType = "Conflict"
	// TypeQuotaExceeded says that the client has used up its quota; Error.RetryAfter says when to try again.
	TypeQuotaExceeded ErrorType = "QuotaExceeded"
	// TypeUnavailable says that a store (or Temporal) cannot be reached or is full. Nothing was written, or it is not
	// known whether something was; the same request id can be used again.
	TypeUnavailable ErrorType = "Unavailable"
)

// errorTable is the one place that says how each kind of error is treated.
var errorTable = map[ErrorType]struct {
	retryable bool // may the same request succeed later?
	exit      int  // the exit code of the CLI
}{
	TypeInvalidArgument: {retryable: false, exit: 2},
	TypeAlreadyExists:   {retryable: false, exit: 3},
	TypeNotFound:        {retryable: false, exit: 4},
	TypeTooLate:         {retryable: false, exit: 5},
	TypeConflict:        {retryable: false, exit: 6},
	TypeQuotaExceeded:   {retryable: true, exit: 7},
	TypeUnavailable:     {retryable: true, exit: 8},
}

// Error is an error of Carillon. errors.Is matches it by its type: errors.Is(err, carillon.ErrNotFound).
type Error struct {
	// Type is the kind of the error.
	Type ErrorType `json:"type"`
	// Field names the input that is wrong, as JSON spells it; empty where no one field is.
	Field string `json:"field,omitempty"`
	// Message says what is wrong and what to do about it.
	Message string `json:"message"`
	// RetryAfter says how long to wait before the next try; 0 where nothing is known about that.
	RetryAfter Duration `json:"retry_after,omitempty"`

	cause error
}

// Sentinels for errors.Is: one for each type.
var (
	ErrInvalidArgument = &Error{Type: TypeInvalidArgument}
	ErrAlreadyExists   = &Error{Type: TypeAlreadyExists}
	ErrNotFound        = &Error{Type: TypeNotFound}
	ErrTooLate         = &Error{Type: TypeTooLate}
	ErrConflict        = &Error{Type: TypeConflict}
	ErrQuotaExceeded   = &Error{Type: TypeQuotaExceeded}
	ErrUnavailable     = &Error{Type: TypeUnavailable}
)

// Errorf makes an error of a type. A %w in the format is kept as the cause.
func Errorf(t ErrorType, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	cause := errors.Unwrap(err)
	if _, several := err.(interface{ Unwrap() []error }); several {
		cause = err
	}
	return &Error{Type: t, Message: err.Error(), cause: cause}
}

// InvalidArgument makes the error that says which field is wrong, and how.
func InvalidArgument(field, format string, args ...any) *Error {
	e := Errorf(TypeInvalidArgument, format, args...)
	e.Field = field
	return e
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Field != "":
		return fmt.Sprintf("%s: %s: %s", e.Type, e.Field, e.Message)
	case e.Message != "":
		return fmt.Sprintf("%s: %s", e.Type, e.Message)
	default:
		return string(e.Type)
	}
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// Is says whether the target is an error of the same type.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Type == e.Type
}

// In says which input the error is about: it puts a place before the field ("timers[3]" and "payload" make
// "timers[3].payload").
func (e *Error) In(place string) *Error {
	c := *e
	if c.Field == "" {
		c.Field = place
	} else {
		c.Field = place + "." + c.Field
	}
	return &c
}

// Retryable says whether the same request may succeed later. An error that is none of Carillon's may.
func Retryable(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	row, known := errorTable[e.Type]
	return !known || row.retryable
}

// ExitCode is the exit code of the CLI for an error: 0 for nil, 1 for an error that is none of Carillon's.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		if row, known := errorTable[e.Type]; known {
			return row.exit
		}
	}
	return 1
}

// AsError gives the error of Carillon within err, also where Temporal has carried it (see FromTemporal). One that is
// none becomes TypeUnavailable: whatever came between the caller and the answer, the caller may ask again. It is nil
// only for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) || errors.As(FromTemporal(err), &e) {
		return e
	}
	return Errorf(TypeUnavailable, "%w", err)
}

// ToTemporal translates an error at the boundary of an activity or of a workflow: what cannot succeed later becomes a
// non-retryable application error of its type, with the Error as its details; the rest may be retried. Errors that a
// caller has to expect are benign: they do not count as failures in logs and metrics. A cancellation stays one.
func ToTemporal(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || temporal.IsCanceledError(err) {
		return err
	}
	e := AsError(err)
	row := errorTable[e.Type]
	options := temporal.ApplicationErrorOptions{
		NonRetryable:   !row.retryable,
		Cause:          e.cause,
		Details:        []any{*e},
		NextRetryDelay: time.Duration(e.RetryAfter),
	}
	if !row.retryable {
		options.Category = temporal.ApplicationErrorCategoryBenign
	}
	return temporal.NewApplicationErrorWithOptions(e.Message, string(e.Type), options)
}

// FromTemporal is the inverse of ToTemporal, on the caller's side: it finds the Error in what a workflow or an activity
// failed with. An error that carries none is returned as it is.
func FromTemporal(err error) error {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return err
	}
	if _, known := errorTable[ErrorType(app.Type())]; !known {
		return err
	}
	e := detailsOf(app)
	if string(e.Type) != app.Type() {
		e = Error{Type: ErrorType(app.Type()), Message: app.Message()} // the details are not ours, or cannot be read
	}
	e.cause = err
	return &e
}

// detailsOf is the Error that an application error carries as its details, or the zero Error.
func detailsOf(app *temporal.ApplicationError) (e Error) {
	var details any // the SDK panics on a type that does not fit, when the error has not left the process
	if !app.HasDetails() || app.Details(&details) != nil {
		return Error{}
	}
	if own, ok := details.(Error); ok {
		return own
	}
	data, err := json.Marshal(details)
	if err != nil || json.Unmarshal(data, &e) != nil {
		return Error{}
	}
	return e
}

// Duration is a time.Duration that JSON spells as Go does ("1m30s").
type Duration time.Duration

// String prints the duration as Go does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalJSON implements json.Unmarshaler. As everywhere in JSON, null changes nothing.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a duration is a string like \"1m30s\", not %s", clip(string(data)))
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration; write one like \"1m30s\"", clip(text))
	}
	*d = Duration(v)
	return nil
}
