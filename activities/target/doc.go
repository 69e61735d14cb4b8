// Package target delivers payloads to their targets: it signals a workflow, starts one, or posts to a webhook. A lane
// of a fire queue calls it for each timer that it has claimed. Mailboxes never come here: their delivery is part of the
// store's own script.
//
// Delivery is at least once. Every attempt of one firing carries the same idempotency key (see Delivery.Key): as the
// request id of a signal or a start, and as the header webhook-id of a webhook. So a target that remembers keys sees
// one effect.
//
// What an error means for the timer is said by Classify. Three things can follow:
//
//   - dead: another attempt would fail in the same way (the workflow is gone, the receiver answers 404);
//   - deferred: Temporal as Carillon's own worker sees it is away, overloaded or closed to its credentials. That costs
//     time, but no attempt;
//   - retry: everything else, by the timer's retry policy, though not before Verdict.After.
//
// # Webhooks
//
// A webhook is one POST. Its headers are, besides those of the target itself:
//
//	webhook-id            the idempotency key
//	webhook-timestamp     when the attempt was made, in seconds since 1970
//	carillon-timer-id     the timer's id
//	carillon-client-id    the client's id
//	carillon-timer-name   the timer's name, if it has one
//	carillon-fire-at      when the timer was due (RFC 3339, milliseconds, UTC)
//	carillon-attempt      1 for the first attempt
//	carillon-occurrence   which occurrence of a recurring timer it is, if it is one
//
// Client id and name are percent-encoded where they hold '%' or anything but printable ASCII. webhook-id and
// webhook-timestamp are those of Standard Webhooks (https://www.standardwebhooks.com).
//
// The body depends on the encoding of the payload:
//
//	json/...       its data, as application/json
//	binary/plain   its data, as application/octet-stream
//	binary/null    nothing
//	other ones     the whole Temporal payload in protobuf's JSON, as application/vnd.temporal.payload+json: the receiver
//	               decodes it with its own codec
//
// An answer of 2xx is success. 408, 425, 429 and 5xx are retried, not before what Retry-After says (at most
// MaxRetryAfter); every other status is final. Redirects are followed only where the method and the body stay the same
// (307 and 308), at most MaxRedirects times, and never from https to http; the target's own headers are not sent to
// another host than the one that they were meant for.
//
// No connection is made to an address that is not public unless WebhookOptions says otherwise. The address that is
// checked is the one that the connection is about to be made to, after name resolution, for every connection: neither a
// name that resolves to something else the second time, nor a redirect, leads around it. For the same reason no proxy
// of the environment is used.
package target
