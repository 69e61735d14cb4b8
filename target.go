package carillon

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Target says where a payload goes when its timer is due. Exactly one field is set.
type Target struct {
	Signal  *SignalTarget  `json:"signal,omitempty"`
	Start   *StartTarget   `json:"start,omitempty"`
	Webhook *WebhookTarget `json:"webhook,omitempty"`
	Mailbox *MailboxTarget `json:"mailbox,omitempty"`
}

// TargetKind names a kind of target, as JSON spells it.
type TargetKind string

// The kinds of targets.
const (
	KindSignal  TargetKind = "signal"
	KindStart   TargetKind = "start"
	KindWebhook TargetKind = "webhook"
	KindMailbox TargetKind = "mailbox"
)

// SignalTarget signals a workflow; the payload is the signal's only argument. The signal's request id is the timer's
// idempotency key, so that a run receives it once.
type SignalTarget struct {
	// Namespace of the workflow. Empty: the namespace of Carillon's worker.
	Namespace string `json:"namespace,omitempty"`
	// WorkflowID is required.
	WorkflowID string `json:"workflow_id"`
	// RunID names one run. Empty: the run that is current when the timer is due.
	RunID string `json:"run_id,omitempty"`
	// SignalName is required.
	SignalName string `json:"signal_name"`
}

// StartTarget starts a workflow; the payload is its only argument. A workflow id is started once.
type StartTarget struct {
	// Namespace of the workflow. Empty: the namespace of Carillon's worker.
	Namespace string `json:"namespace,omitempty"`
	// WorkflowID of the new workflow. Empty: the timer's id. That of a timer with a name stays the same when the name is
	// used again, and a recurring timer fires more than once: theirs is the idempotency key, which is the timer's id with
	// the incarnation, and then the occurrence, behind it ("<timer id>-<incarnation>", "<timer id>-<incarnation>-<n>").
	WorkflowID string `json:"workflow_id,omitempty"`
	// WorkflowType is required.
	WorkflowType string `json:"workflow_type"`
	// TaskQueue is required.
	TaskQueue string `json:"task_queue"`
	// ExecutionTimeout of the workflow. 0: the namespace's own.
	ExecutionTimeout Duration `json:"execution_timeout,omitempty"`
	// RunTimeout of the workflow. 0: the namespace's own.
	RunTimeout Duration `json:"run_timeout,omitempty"`
}

// WebhookTarget posts the payload to a URL. The request carries the timer's idempotency key as webhook-id.
type WebhookTarget struct {
	// URL is http or https and names a host. It must not lead to a private address unless the worker allows that.
	URL string `json:"url"`
	// Headers are added to the request. They must not name one that Carillon or HTTP itself sets.
	Headers map[string]string `json:"headers,omitempty"`
	// Timeout of one attempt, at most 60 s. 0: 10 s.
	Timeout Duration `json:"timeout,omitempty"`
}

// MailboxTarget appends the payload to the client's own mailbox, where its consumers read it: each timer is appended
// exactly once.
type MailboxTarget struct{}

// MaxWebhookTimeout bounds one attempt of a webhook.
const MaxWebhookTimeout = 60 * time.Second

// ToSignal is the target that signals a workflow of the worker's own namespace.
func ToSignal(workflowID, signalName string) Target {
	return Target{Signal: &SignalTarget{WorkflowID: workflowID, SignalName: signalName}}
}

// ToStart is the target that starts a workflow of the worker's own namespace; its workflow id is made of the timer's id
// (see StartTarget.WorkflowID).
func ToStart(workflowType, taskQueue string) Target {
	return Target{Start: &StartTarget{WorkflowType: workflowType, TaskQueue: taskQueue}}
}

// ToWebhook is the target that posts to a URL.
func ToWebhook(url string) Target { return Target{Webhook: &WebhookTarget{URL: url}} }

// ToMailbox is the target that appends to the client's mailbox.
func ToMailbox() Target { return Target{Mailbox: &MailboxTarget{}} }

// Kind is the kind of the target, or "" unless exactly one is set.
func (t Target) Kind() TargetKind {
	var kind TargetKind
	n := 0
	if t.Signal != nil {
		kind, n = KindSignal, n+1
	}
	if t.Start != nil {
		kind, n = KindStart, n+1
	}
	if t.Webhook != nil {
		kind, n = KindWebhook, n+1
	}
	if t.Mailbox != nil {
		kind, n = KindMailbox, n+1
	}
	if n != 1 {
		return ""
	}
	return kind
}

func (t Target) validate() error {
	switch t.Kind() {
	case KindSignal:
		return firstError(
			checkText("target.signal.namespace", t.Signal.Namespace, 0, maxTemporalID),
			checkText("target.signal.workflow_id", t.Signal.WorkflowID, 1, maxTemporalID),
			checkRunID("target.signal.run_id", t.Signal.RunID),
			checkText("target.signal.signal_name", t.Signal.SignalName, 1, maxTemporalID))
	case KindStart:
		return firstError(
			checkText("target.start.namespace", t.Start.Namespace, 0, maxTemporalID),
			checkText("target.start.workflow_id", t.Start.WorkflowID, 0, maxTemporalID),
			checkText("target.start.workflow_type", t.Start.WorkflowType, 1, maxTemporalID),
			checkText("target.start.task_queue", t.Start.TaskQueue, 1, maxTemporalID),
			checkNotNegative("target.start.execution_timeout", t.Start.ExecutionTimeout),
			checkNotNegative("target.start.run_timeout", t.Start.RunTimeout))
	case KindWebhook:
		return t.Webhook.validate()
	case KindMailbox:
		return nil
	default:
		return InvalidArgument("target", "exactly one of signal, start, webhook, mailbox has to be set")
	}
}

// checkRunID refuses what Temporal would refuse when the timer is due: then it would be too late to say so.
func checkRunID(field, id string) error {
	if id == "" {
		return nil
	}
	if err := uuid.Validate(id); err != nil {
		return InvalidArgument(field, "%q is no run id; one looks like %s", clip(id), uuid.Nil)
	}
	return nil
}

// reservedHeader says whether a header is set by Carillon or by HTTP itself, or would change how HTTP works.
func reservedHeader(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive",
		"proxy-connection", "expect", "trailer", "upgrade", "te":
		return true
	}
	return strings.HasPrefix(name, "webhook-") || strings.HasPrefix(name, "carillon-")
}

func (w *WebhookTarget) validate() error {
	if err := checkText("target.webhook.url", w.URL, 1, 2048); err != nil {
		return err
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return InvalidArgument("target.webhook.url", "it is no URL; write one like https://host/path")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return InvalidArgument("target.webhook.url", "its scheme is %q; only http and https are delivered to", clip(u.Scheme))
	}
	if u.Hostname() == "" {
		return InvalidArgument("target.webhook.url", "it names no host; write one like https://host/path")
	}
	if u.User != nil {
		return InvalidArgument("target.webhook.url", "it carries a user or a password; put credentials into headers")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return InvalidArgument("target.webhook.url", "its port %q is not between 1 and 65535", clip(p))
		}
	}
	if len(w.Headers) > 32 {
		return InvalidArgument("target.webhook.headers", "there are %d headers; at most 32 are sent", len(w.Headers))
	}
	seen := make(map[string]bool, len(w.Headers))
	for name, value := range w.Headers {
		lower := strings.ToLower(name)
		if seen[lower] {
			return InvalidArgument("target.webhook.headers", "%q is there twice: upper and lower case are the same", clip(lower))
		}
		seen[lower] = true
		switch {
		case !validHeaderName(name):
			return InvalidArgument("target.webhook.headers", "%q is no header name", clip(name))
		case reservedHeader(name):
			return InvalidArgument("target.webhook.headers", "%q is set by Carillon or by HTTP itself; take another name",
				clip(name))
		case len(value) > 4096:
			return InvalidArgument("target.webhook.headers", "the value of %q has %d bytes, the limit is 4096",
				clip(name), len(value))
		case !validHeaderValue(value):
			return InvalidArgument("target.webhook.headers", "the value of %q holds a control character or is not valid UTF-8",
				clip(name))
		}
	}
	if err := checkNotNegative("target.webhook.timeout", w.Timeout); err != nil {
		return err
	}
	if time.Duration(w.Timeout) > MaxWebhookTimeout {
		return InvalidArgument("target.webhook.timeout", "%s is over the limit of %s", w.Timeout, MaxWebhookTimeout)
	}
	return nil
}

// validHeaderValue checks a field value of RFC 9110, section 5.5, with UTF-8 as its only extension.
func validHeaderValue(value string) bool {
	for _, r := range value {
		if r < 0x20 && r != '\t' || r == 0x7f {
			return false
		}
	}
	return utf8.ValidString(value)
}

// validHeaderName checks a token of RFC 9110, section 5.6.2.
func validHeaderName(name string) bool {
	if name == "" || len(name) > 256 {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return true
}
