package starter

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/carillon-io/carillon"
)

// encodeCreate makes the binary form of the input.
func encodeCreate(in carillon.CreateTimersInput) (*commonpb.Payload, error) {
	payload, err := carillon.BinaryPayload(&in)
	if err != nil {
		return nil, carillon.InvalidArgument("timers", "they have no binary form: %w", err)
	}
	return payload, nil
}

// encodeInput makes the JSON form of an input.
func encodeInput(input any) (*commonpb.Payload, error) {
	payload, err := carillon.JSONPayload(input)
	if err != nil {
		return nil, carillon.InvalidArgument("", "the input has no JSON: %w", err)
	}
	return payload, nil
}

// decodeResult reads a result, a pointer to one, in whichever form it came.
func decodeResult(payload *commonpb.Payload, out any) error {
	switch e := encoding(payload); e {
	case converter.MetadataEncodingJSON, converter.MetadataEncodingProto:
	default:
		return carillon.Errorf(carillon.TypeUnavailable, "the worker's answer is encoded as %q, which cannot be read: if its "+
			"worker encodes, give Options.DataConverter the same codec", e)
	}
	if err := carillon.ResultFromPayload(payload, out); err != nil {
		return unreadable(err)
	}
	return nil
}

func unreadable(err error) error {
	return carillon.Errorf(carillon.TypeUnavailable, "the worker's answer cannot be read: %w", err)
}

func encoding(payload *commonpb.Payload) string {
	return string(payload.GetMetadata()[converter.MetadataEncoding])
}

// plain says whether a payload is in a form that the SDK's default converter reads: nobody has encoded it further.
func plain(payload *commonpb.Payload) bool {
	switch encoding(payload) {
	case converter.MetadataEncodingBinary, converter.MetadataEncodingJSON, converter.MetadataEncodingNil,
		converter.MetadataEncodingProto, converter.MetadataEncodingProtoJSON:
		return true
	default:
		return false
	}
}

// answers decodes what comes from the worker, for failures: what is plain as it is, else with the user's converter,
// since a worker that has been given a codec encodes all it sends.
type answers struct {
	converter.DataConverter // the SDK's default
	encoded                 converter.DataConverter
}

func (a answers) FromPayload(payload *commonpb.Payload, valuePtr any) error {
	if plain(payload) {
		return a.DataConverter.FromPayload(payload, valuePtr)
	}
	return a.encoded.FromPayload(payload, valuePtr)
}

func (a answers) FromPayloads(payloads *commonpb.Payloads, valuePtrs ...any) error {
	for i, payload := range payloads.GetPayloads() {
		if i == len(valuePtrs) {
			break
		}
		if err := a.FromPayload(payload, valuePtrs[i]); err != nil {
			return err
		}
	}
	return nil
}

// raw gives the one payload that came as a result, decoded but not converted.
func (a answers) raw(payloads *commonpb.Payloads) (*commonpb.Payload, error) {
	if len(payloads.GetPayloads()) != 1 {
		return nil, carillon.Errorf(carillon.TypeUnavailable, "the worker answered with %d payloads instead of one: is it of "+
			"another release?", len(payloads.GetPayloads()))
	}
	payload := payloads.Payloads[0]
	if plain(payload) {
		return payload, nil
	}
	var value converter.RawValue
	if err := a.encoded.FromPayload(payload, &value); err != nil {
		return nil, unreadable(err)
	}
	return value.Payload(), nil
}
