package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/carillon-io/carillon"
)

// payloadFlags say what the target receives.
func payloadFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagPayload, Usage: "what the target receives, a `JSON` value", DefaultText: "nothing"},
		&cli.StringFlag{Name: flagPayloadFile, Usage: "a `file` that holds the payload; - is standard input"},
		&cli.StringFlag{
			Name: flagPayloadEncoding, Value: converter.MetadataEncodingJSON,
			Usage: "how the payload is encoded: " + converter.MetadataEncodingJSON + ", or " + converter.MetadataEncodingBinary +
				" for bytes that are passed on as they are",
		},
	}
}

// readPayload reads payloadFlags. Nil: none was given.
func (in *invocation) readPayload() (*commonpb.Payload, error) {
	var (
		data []byte
		flag = flagPayload
		err  error
	)
	switch {
	case in.IsSet(flagPayload) && in.IsSet(flagPayloadFile):
		return nil, flagError(flagPayload, "say --payload or --payload-file, not both")
	case in.IsSet(flagPayload):
		data = []byte(in.String(flagPayload))
	case in.IsSet(flagPayloadFile):
		flag = flagPayloadFile
		if data, err = in.readInput(in.String(flagPayloadFile)); err != nil {
			return nil, err
		}
	case in.IsSet(flagPayloadEncoding):
		return nil, flagError(flagPayloadEncoding, "there is no payload: say --payload or --payload-file")
	default:
		return nil, nil
	}
	encoding := in.String(flagPayloadEncoding)
	switch encoding {
	case converter.MetadataEncodingBinary:
	case converter.MetadataEncodingJSON:
		var compacted bytes.Buffer
		if err := json.Compact(&compacted, data); err != nil {
			return nil, flagError(
				flag,
				"it is no JSON value (%w); a text is written as '\"text\"', and bytes that are no JSON are "+
					"sent with --payload-encoding %s",
				err,
				converter.MetadataEncodingBinary,
			)
		}
		data = compacted.Bytes()
	default:
		return nil, flagError(flagPayloadEncoding, "%q is neither %s nor %s", encoding,
			converter.MetadataEncodingJSON, converter.MetadataEncodingBinary)
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encoding)}, Data: data,
	}, nil
}

// readInput reads a file, or standard input, up to what a payload may be.
func (in *invocation) readInput(path string) ([]byte, error) {
	input := in.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, flagError(flagPayloadFile, "%w", err)
		}
		defer f.Close()
		input = f
	}
	// JSON may come with white space that is not sent.
	data, err := io.ReadAll(io.LimitReader(input, 4*carillon.MaxPayload+1))
	if err != nil {
		return nil, flagError(flagPayloadFile, "%w", err)
	}
	if len(data) > 4*carillon.MaxPayload {
		return nil, flagError(
			flagPayloadFile,
			"it is larger than a payload may be, %d bytes; keep large data elsewhere and send a reference",
			carillon.MaxPayload,
		)
	}
	return data, nil
}
