package target

import (
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/carillon-io/carillon"
)

// The encodings of payloads, as Temporal's SDKs name them, that webhooks have a form of their own for.
const (
	encodingNull  = "binary/null"
	encodingPlain = "binary/plain"
	encodingJSON  = "json/"

	// Encodings of payloads that stand for one kept elsewhere: their data is nothing that a receiver could use by itself.
	encodingReference    = "json/external-storage-reference"
	messageTypeReference = "temporal.api.sdk.v1.ExternalStorageReference"
)

// The content types of webhooks.
const (
	contentJSON    = "application/json"
	contentBytes   = "application/octet-stream"
	contentPayload = "application/vnd.temporal.payload+json"
)

// webhookBody is a payload as a webhook carries it. The content type is empty where there is no body.
func webhookBody(payload []byte) (body []byte, contentType string, err error) {
	p, err := carillon.UnmarshalPayload(payload)
	if err != nil {
		return nil, "", Permanent(err)
	}
	switch encoding := string(p.GetMetadata()["encoding"]); {
	case p == nil, encoding == encodingNull:
		return nil, "", nil
	case isReference(p):
	case strings.HasPrefix(encoding, encodingJSON):
		return p.Data, contentJSON, nil
	case encoding == encodingPlain:
		return p.Data, contentBytes, nil
	}
	body, err = protojson.Marshal(p)
	if err != nil {
		return nil, "", Permanent(carillon.InvalidArgument("payload", "it has no JSON form: %w", err))
	}
	return body, contentPayload, nil
}

func isReference(p *commonpb.Payload) bool {
	return len(p.ExternalPayloads) > 0 || string(p.Metadata["encoding"]) == encodingReference ||
		string(p.Metadata["messageType"]) == messageTypeReference
}
