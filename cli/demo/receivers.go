package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon/starter/direct"
	"github.com/carillon-io/carillon/store"
)

const (
	// SignalName is the signal that the demo's workflows receive; the timer's number is its argument.
	SignalName = "timer"
	// taskQueue and workflowName are those of the demo's own worker.
	taskQueue    = "carillon-demo"
	workflowName = "CarillonDemoReceiver"
	closeSignal  = "close"
	// signalsPerWorkflow keeps the workflows' histories readable.
	signalsPerWorkflow = 1000
)

// Receivers receive the demo's timers: workflows on a worker of their own, and a consumer of the mailbox.
type Receivers struct {
	// Workflows are the ids of the workflows.
	Workflows []string
	// Arrivals brings what they receive.
	Arrivals chan Arrival

	temporal client.Client
	worker   worker.Worker
	stop     context.CancelFunc
	mailbox  sync.WaitGroup
	failure  error // of the mailbox's consumer
}

// StartReceivers starts receivers for so many timers. They run until Stop.
func StartReceivers(ctx context.Context, temporal client.Client, s *store.Redis, count int) (_ *Receivers, err error) {
	box, err := direct.OpenMailbox(ctx, s, direct.MailboxOptions{ClientID: ClientID, Consumer: "demo"})
	if err != nil {
		return nil, fmt.Errorf("open the mailbox: %w", err)
	}
	r := &Receivers{Arrivals: make(chan Arrival, 1024), temporal: temporal}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop

	clock := box.Clock()
	receiver := &receiver{arrived: func(a Arrival) {
		a.At, a.Error = clock.Now(), clock.Error()
		select {
		case r.Arrivals <- a:
		case <-running.Done():
		}
	}}
	r.worker = worker.New(temporal, taskQueue, worker.Options{DisableRegistrationAliasing: true})
	r.worker.RegisterWorkflowWithOptions(receiver.run, workflow.RegisterOptions{Name: workflowName})
	if err := r.worker.Start(); err != nil {
		stop()
		return nil, fmt.Errorf("start the demo's worker: %w", err)
	}
	r.mailbox.Go(func() { r.failure = consume(running, box, receiver.arrived) })
	if err := r.startWorkflows(ctx, (count/2+signalsPerWorkflow)/signalsPerWorkflow); err != nil {
		return nil, errors.Join(err, r.Stop(context.WithoutCancel(ctx)))
	}
	return r, nil
}

func (r *Receivers) startWorkflows(ctx context.Context, n int) error {
	for i := range n {
		id := fmt.Sprintf("carillon-demo/receiver-%d", i+1)
		_, err := r.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: id, TaskQueue: taskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			StaticSummary: "receives the demo's timers",
		}, workflowName)
		if err != nil {
			return fmt.Errorf("start workflow %s: %w", id, err)
		}
		r.Workflows = append(r.Workflows, id)
	}
	return nil
}

// Stop ends the workflows and the consumer.
func (r *Receivers) Stop(ctx context.Context) error {
	var errs []error
	for _, id := range r.Workflows {
		if err := r.temporal.SignalWorkflow(ctx, id, "", closeSignal, nil); err != nil {
			errs = append(errs, fmt.Errorf("end workflow %s: %w", id, err))
			continue
		}
		if err := r.temporal.GetWorkflow(ctx, id, "").Get(ctx, nil); err != nil {
			errs = append(errs, fmt.Errorf("end workflow %s: %w", id, err))
		}
	}
	r.stop()
	r.worker.Stop()
	r.mailbox.Wait()
	return errors.Join(append(errs, r.failure)...)
}

// receiver is the demo's workflow.
type receiver struct {
	arrived func(Arrival)
}

// run receives signals until it is closed, and gives how many there were.
//
// It tells of each arrival from within the workflow's code: that is where a receiver receives. Telling is no part of
// the workflow's logic, and is left out in a replay.
func (r *receiver) run(ctx workflow.Context) (received int, err error) {
	info := workflow.GetInfo(ctx)
	closing := false
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(workflow.GetSignalChannel(ctx, SignalName), func(c workflow.ReceiveChannel, _ bool) {
		var n int
		c.Receive(ctx, &n)
		received++
		if !workflow.IsReplaying(ctx) {
			r.arrived(Arrival{
				Road: RoadSignal, Number: n, Delivery: info.WorkflowExecution.RunID + "/" + strconv.Itoa(received),
			})
		}
	})
	selector.AddReceive(workflow.GetSignalChannel(ctx, closeSignal), func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		closing = true
	})
	for !closing || selector.HasPending() {
		selector.Select(ctx)
	}
	return received, nil
}

// consume receives the mailbox's messages.
func consume(ctx context.Context, box *direct.Mailbox, arrived func(Arrival)) error {
	return box.Consume(ctx, func(_ context.Context, msg direct.Message) error {
		n, err := number(msg.Timer.Payload)
		if err != nil {
			return err
		}
		arrived(Arrival{Road: RoadMailbox, Number: n, Delivery: fmt.Sprintf("%d/%s", msg.Slot, msg.ID)})
		return nil
	})
}
