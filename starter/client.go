package starter

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/internal/engine"
)

// Client implements Timers over a Temporal client.
//
// CreateAll and CreateRequest, CancelAll and Redrive may become several operations. If one of them fails as a whole,
// its timers are answered with its error, the others as usual, and the error is also given for the call: an error
// does not mean that nothing was done.
//
// When a caller's context ends, the error is of type carillon.ErrUnavailable and wraps the context's. Others that
// travel with it are not harmed; its own timer may have been created. Timers and payloads must not be changed after
// they have been given to a Client, not even then.
type Client struct {
	*engine.Engine
	converter converter.DataConverter
}

var _ Timers = (*Client)(nil)

// New makes a Client. It uses the connection of the Temporal client, with its credentials, and does not talk to the
// server yet. Interceptors and context propagators of the Temporal client are passed by: an operation is of many
// callers. Close it before the Temporal client.
//
// It fails with carillon.ErrInvalidArgument.
func New(c client.Client, options Options) (*Client, error) {
	if c == nil {
		return nil, carillon.InvalidArgument("client", "it is required: client.Dial makes one")
	}
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	service := c.WorkflowService()
	if service == nil {
		return nil, carillon.InvalidArgument("client", "its WorkflowService is nil; give a client made by client.Dial or "+
			"client.NewLazyClient, or a wrapper that passes WorkflowService on")
	}
	return &Client{
		Engine:    engine.New(newBackend(service, options), options.engine()),
		converter: options.DataConverter,
	}, nil
}

// Payload encodes a value with the data converter, and its codec, as the payload of a timer. It fails with
// carillon.ErrInvalidArgument on what the converter cannot encode.
func (c *Client) Payload(value any) (*commonpb.Payload, error) {
	return encodePayload(c.converter, value)
}

// Value decodes the payload of a timer, as Describe and List give it, into what valuePtr points at.
func (c *Client) Value(payload *commonpb.Payload, valuePtr any) error {
	if err := c.converter.FromPayload(payload, valuePtr); err != nil {
		return carillon.InvalidArgument("payload", "the data converter cannot decode it: %w", err)
	}
	return nil
}

func encodePayload(c converter.DataConverter, value any) (*commonpb.Payload, error) {
	payload, err := c.ToPayload(value)
	if err != nil {
		return nil, carillon.InvalidArgument("payload", "the data converter cannot encode it: %w", err)
	}
	return payload, nil
}
