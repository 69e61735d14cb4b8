package starter_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
)

// A timer from a program that has a Temporal client: in an hour, the workflow "order-17" receives the signal
// "reminder" with the payload.
func Example() {
	remind := func(ctx context.Context) error {
		temporal, err := client.Dial(client.Options{})
		if err != nil {
			return err
		}
		defer temporal.Close()
		timers, err := starter.New(temporal, starter.Options{})
		if err != nil {
			return err
		}
		defer timers.Close()

		payload, err := timers.Payload("remember the milk")
		if err != nil {
			return err
		}
		timer, err := timers.Create(ctx, carillon.TimerSpec{
			ClientID: "shop",
			Delay:    time.Hour,
			Payload:  payload,
			Target:   carillon.ToSignal("order-17", "reminder"),
		})
		if err != nil {
			return err
		}
		fmt.Println("timer", timer.TimerID, "is due at", timer.FireAt)
		return nil
	}
	if err := remind(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// A timer from inside a workflow, which then waits for its own signal: it may be continued as new, or be moved
// elsewhere by others, where a workflow.Sleep could not.
func ExampleFromWorkflow() {
	order := func(ctx workflow.Context, orderID string) error {
		timers := starter.FromWorkflow(ctx, starter.WorkflowOptions{})
		payload, err := timers.Payload("remember the milk")
		if err != nil {
			return err
		}
		_, err = timers.Create(carillon.TimerSpec{
			ClientID: "shop",
			Name:     "reminder of " + orderID,
			FireAt:   workflow.Now(ctx).Add(24 * time.Hour),
			Payload:  payload,
			Target:   carillon.ToSignal(workflow.GetInfo(ctx).WorkflowExecution.ID, "reminder"),
		})
		if err != nil {
			return err
		}
		var reminder string
		workflow.GetSignalChannel(ctx, "reminder").Receive(ctx, &reminder)
		return nil
	}
	_ = order // register it with a worker, as any workflow
}

// A named timer is there once per client. Creating it again with ConflictReplace moves it: a debounce.
func ExampleClient_Create_named() {
	timers := connected() // see the example of the package
	cart := carillon.TimerSpec{
		ClientID:   "shop",
		Name:       "abandoned cart 4711",
		Delay:      30 * time.Minute,
		Target:     carillon.ToStart("SendCartReminder", "mail"),
		OnConflict: carillon.ConflictReplace,
	}
	_, err := timers.Create(context.Background(), cart) // with each change of the cart
	switch {
	case errors.Is(err, carillon.ErrTooLate):
		fmt.Println("it is being fired at this moment")
	case err != nil:
		log.Fatal(err)
	}

	// The customer has paid.
	err = timers.Cancel(context.Background(), carillon.TimerRef{ClientID: "shop", Name: "abandoned cart 4711"})
	if err != nil && !errors.Is(err, carillon.ErrNotFound) {
		log.Fatal(err)
	}
}

// Many timers at once, under a request id of one's own: after a crash, the same call creates nothing twice.
func ExampleClient_CreateRequest() {
	timers := connected() // see the example of the package
	specs := make([]carillon.TimerSpec, 100_000)
	for i := range specs {
		specs[i] = carillon.TimerSpec{
			ClientID: "billing",
			FireAt:   time.Date(2030, time.January, 1, 0, 0, i%3600, 0, time.UTC),
			Target:   carillon.ToMailbox(),
		}
	}
	results, err := timers.CreateRequest(context.Background(), "invoices of 2030", specs)
	if err != nil {
		log.Fatal(err) // of type carillon.ErrUnavailable: ask again, under the same request id
	}
	for i, result := range results {
		if result.Error != nil {
			fmt.Println("timer", i, "was refused:", result.Error)
		}
	}
}

// The dead timers of a client, with the reasons.
func ExampleClient_List() {
	timers := connected() // see the example of the package
	for timer, err := range timers.List(context.Background(), carillon.ListTimersInput{
		ClientID: "shop", States: []carillon.State{carillon.StateDead},
	}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(timer.TimerID, timer.LastError)
	}
}

// connected is the client of the examples that are about something else.
func connected() *starter.Client {
	temporal, err := client.NewLazyClient(client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	timers, err := starter.New(temporal, starter.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return timers
}
