package starter

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/carillon-io/carillon"
)

// maxExecutionID is the longest id that every persistence of Temporal keeps.
const maxExecutionID = 255

// executionID is the id of the activity or workflow that carries an operation: carillon/<group>/<operation>/<request
// id>. A request id that is too long for that is replaced by its hash.
func executionID(group, operation, requestID string) string {
	id := "carillon/" + group + "/" + operation + "/" + requestID
	if len(id) <= maxExecutionID {
		return id
	}
	sum := sha256.Sum256([]byte(requestID))
	return "carillon/" + group + "/" + operation + "/sha256-" + hex.EncodeToString(sum[:])
}

// Timeouts of an execution, from the timeout of the operation. There is no schedule-to-close timeout: workers compute
// their deadline from it by their own clock, which may be wrong.

// queueTimeout is how long an operation may wait for a worker: long enough to outlive the restart of one, and short
// enough to say so before the caller gives up.
func (b *backend) queueTimeout() time.Duration { return b.timeout * 3 / 4 }

// attemptTimeout is after how long a worker that has taken an operation is given up, and another asked.
func (b *backend) attemptTimeout() time.Duration { return max(b.timeout/4, time.Second) }

// retryPolicy has the server try again while the caller is waiting. Without a schedule-to-close timeout, the number
// of attempts bounds it.
func (b *backend) retryPolicy() *commonpb.RetryPolicy {
	const initial, maximum = 250 * time.Millisecond, 5 * time.Second
	attempts, wait, total := int32(1), initial, time.Duration(0)
	for total+wait <= b.timeout/2 && attempts < math.MaxInt32 {
		total += wait
		wait = min(2*wait, maximum)
		attempts++
	}
	return &commonpb.RetryPolicy{
		InitialInterval: durationpb.New(initial), BackoffCoefficient: 2, MaximumInterval: durationpb.New(maximum),
		MaximumAttempts: attempts,
	}
}

func (b *backend) taskQueue() *taskqueuepb.TaskQueue {
	return &taskqueuepb.TaskQueue{Name: carillon.TaskQueue(b.group)}
}

func userMetadata(summary string) *sdkpb.UserMetadata {
	if summary == "" {
		return nil
	}
	payload, err := converter.GetDefaultDataConverter().ToPayload(summary)
	if err != nil {
		return nil // a summary is a convenience; and a string always has JSON
	}
	return &sdkpb.UserMetadata{Summary: payload}
}
