package devserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const (
	// readyTimeout is how long a server that has started may take until it answers.
	readyTimeout = 30 * time.Second
	// pollInterval is the pause between two looks at a server that is on its way up.
	pollInterval = 10 * time.Millisecond
)

// awaitReady returns when each namespace takes requests and has its search attributes.
func (t *Temporal) awaitReady(ctx context.Context, attributes map[string]enumspb.IndexedValueType) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := grpc.NewClient(t.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, namespace := range t.namespaces {
		if err := awaitNamespace(ctx, workflowservice.NewWorkflowServiceClient(conn), namespace); err != nil {
			return fmt.Errorf("namespace %q: %w", namespace, err)
		}
		err := ensureSearchAttributes(ctx, operatorservice.NewOperatorServiceClient(conn), namespace, attributes)
		if err != nil {
			return fmt.Errorf("namespace %q: %w", namespace, err)
		}
	}
	return nil
}

// awaitNamespace asks for a workflow that does not exist until the answer is just that: it comes from the history service's
// shard, so that everything on the way to it is up.
func awaitNamespace(ctx context.Context, client workflowservice.WorkflowServiceClient, namespace string) error {
	request := &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: namespace,
		Execution: &commonpb.WorkflowExecution{WorkflowId: "carillon-devserver-ready"},
	}
	var last error
	err := poll(ctx, func() bool {
		_, err := client.DescribeWorkflowExecution(ctx, request)
		if err == nil || status.Code(err) == codes.NotFound && namespaceIsKnown(ctx, client, namespace) {
			return true
		}
		last = err
		return false
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// namespaceIsKnown tells the two kinds of "not found" apart.
func namespaceIsKnown(ctx context.Context, client workflowservice.WorkflowServiceClient, namespace string) bool {
	_, err := client.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	return err == nil
}

// ensureSearchAttributes adds what a namespace that existed before lacks.
func ensureSearchAttributes(
	ctx context.Context,
	client operatorservice.OperatorServiceClient,
	namespace string,
	attributes map[string]enumspb.IndexedValueType,
) error {
	if len(attributes) == 0 {
		return nil
	}
	present, err := client.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("list its search attributes: %w", err)
	}
	missing := make(map[string]enumspb.IndexedValueType)
	for name, want := range attributes {
		switch have, ok := present.GetCustomAttributes()[name]; {
		case !ok:
			missing[name] = want
		case have != want:
			return fmt.Errorf("search attribute %q is of type %s, not %s: use another name, or a new database",
				name, have, want)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = client.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace:        namespace,
		SearchAttributes: missing,
	})
	if err != nil {
		return fmt.Errorf("add search attributes: %w", err)
	}
	return nil
}

// poll calls ready until it says true or the time is up.
func poll(ctx context.Context, ready func() bool) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !ready() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", context.Cause(ctx))
		}
	}
	return nil
}
