package activities

import (
	"encoding/json"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
)

// batch is a JSON input of many timers, read one by one: an entry that cannot be read is refused alone.
type batch[T any] struct {
	requestID string
	timers    []T               // those that could be read
	place     []int             // where in the input each of them is
	refused   []*carillon.Error // by place in the input; nil: it could be read
}

func readBatch[T any](p *commonpb.Payload) (*batch[T], error) {
	var in struct {
		RequestID string            `json:"request_id"`
		Timers    []json.RawMessage `json:"timers"`
	}
	if err := firstError(checkSize(p), carillon.InputFromPayload(p, &in), checkCount(len(in.Timers))); err != nil {
		return nil, err
	}
	b := &batch[T]{requestID: in.RequestID, refused: make([]*carillon.Error, len(in.Timers))}
	for i, data := range in.Timers {
		var timer T
		if err := carillon.DecodeInput(data, &timer); err != nil {
			b.refused[i] = carillon.AsError(err)
			continue
		}
		b.timers = append(b.timers, timer)
		b.place = append(b.place, i)
	}
	return b, nil
}

// merge asks for the timers that could be read, and puts all answers into the places of the input.
func merge[T, R any](b *batch[T], ask func([]T) ([]R, error), refuse func(T, *carillon.Error) R) ([]R, error) {
	out := make([]R, len(b.refused))
	for i, err := range b.refused {
		if err != nil {
			var unread T
			out[i] = refuse(unread, err)
		}
	}
	if len(b.timers) == 0 {
		return out, nil
	}
	answers, err := ask(b.timers)
	if err != nil {
		return nil, err
	}
	if len(answers) != len(b.timers) {
		return nil, carillon.Errorf(carillon.TypeUnavailable, "the store answered %d of %d timers", len(answers),
			len(b.timers))
	}
	for i, r := range answers {
		out[b.place[i]] = r
	}
	return out, nil
}

func checkCount(n int) error {
	switch {
	case n == 0:
		return carillon.InvalidArgument("timers", "there are none")
	case n > carillon.MaxBatch:
		return carillon.InvalidArgument("timers", "there are %d; one operation takes at most %d, send several", n,
			carillon.MaxBatch)
	}
	return nil
}

func checkSize(p *commonpb.Payload) error {
	if n := len(p.GetData()); n > carillon.MaxBatchBytes {
		return carillon.InvalidArgument("timers", "the input has %d bytes, over the limit of %d; send fewer at a time",
			n, carillon.MaxBatchBytes)
	}
	return nil
}

// firstError is the first that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
