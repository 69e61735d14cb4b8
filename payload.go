package carillon

import (
	"encoding"
	"encoding/json"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
)

// This file says how an operation's input and result travel as one Temporal payload: as JSON, from and to every
// language, or as binary protobuf, which Go clients send for CreateTimers. The metadata are those of Temporal's own
// converters, so that the Web UI and the CLI show what they can. An operation answers in the encoding that it was asked
// in.

// EncodingProtobuf is the "encoding" of a payload that holds binary protobuf; its "messageType" names the message of
// internal/wire/carillon.proto.
const EncodingProtobuf = "binary/protobuf"

const (
	encodingNull        = "binary/null"
	metadataEncoding    = "encoding"
	metadataMessageType = "messageType"
)

// messageType is the name of the protobuf message that is the binary form of v; empty: it has none.
func messageType(v any) string {
	switch v.(type) {
	case *CreateTimersInput:
		return "carillon.v1.CreateTimersInput"
	case *CreateTimersResult:
		return "carillon.v1.CreateTimersResult"
	default:
		return ""
	}
}

// IsBinaryPayload says whether a payload holds binary protobuf.
func IsBinaryPayload(p *commonpb.Payload) bool {
	return string(p.GetMetadata()[metadataEncoding]) == EncodingProtobuf
}

// BinaryPayload is the binary form of an operation's input or result (a pointer to one): only CreateTimers has one. The
// payload goes to a Temporal client as a converter.RawValue.
func BinaryPayload(v encoding.BinaryMarshaler) (*commonpb.Payload, error) {
	name := messageType(v)
	if name == "" {
		return nil, fmt.Errorf("carillon: %T has no binary form", v)
	}
	data, err := v.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{metadataEncoding: []byte(EncodingProtobuf), metadataMessageType: []byte(name)},
		Data:     data,
	}, nil
}

// JSONPayload is the JSON form of an operation's input or result.
func JSONPayload(v any) (*commonpb.Payload, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &commonpb.Payload{Metadata: map[string][]byte{metadataEncoding: []byte(encodingJSON)}, Data: data}, nil
}

// InputFromPayload reads an operation's input, a pointer to one, in whichever form it has. JSON is read as strictly as
// DecodeInput does. No payload at all is the zero input. It fails with ErrInvalidArgument.
func InputFromPayload(p *commonpb.Payload, input any) error {
	return fromPayload(p, input, DecodeInput)
}

// ResultFromPayload reads an operation's result, a pointer to one, in whichever form it has. Fields that it does not
// know are ignored: a newer worker may say more.
func ResultFromPayload(p *commonpb.Payload, result any) error {
	return fromPayload(p, result, func(data []byte, v any) error {
		if err := json.Unmarshal(data, v); err != nil {
			return jsonError(err)
		}
		return nil
	})
}

func fromPayload(p *commonpb.Payload, v any, readJSON func([]byte, any) error) error {
	switch enc := string(p.GetMetadata()[metadataEncoding]); {
	case p == nil, enc == encodingNull:
		return nil
	case enc == encodingJSON:
		return readJSON(p.GetData(), v)
	case enc == EncodingProtobuf:
		want := messageType(v)
		binary, ok := v.(encoding.BinaryUnmarshaler)
		if want == "" || !ok {
			return InvalidArgument("", "it has no binary form; send JSON (encoding %s)", encodingJSON)
		}
		if got := string(p.GetMetadata()[metadataMessageType]); got != "" && got != want {
			return InvalidArgument("", "it holds the message %q where %s belongs", clip(got), want)
		}
		return binary.UnmarshalBinary(p.GetData())
	default:
		return InvalidArgument("", "its encoding is %q; %s and %s are read. If it is encrypted, give the worker the codec: "+
			"a codec endpoint, or a client with your data converter", clip(enc), encodingJSON, EncodingProtobuf)
	}
}
