package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
)

// Operations are the names of the operations: each is registered as a workflow, and as an activity by the package
// activities.
var Operations = []string{
	carillon.OpCreateTimers,
	carillon.OpCancelTimers,
	carillon.OpRescheduleTimer,
	carillon.OpDescribeTimer,
	carillon.OpListTimers,
	carillon.OpCountTimers,
	carillon.OpRedriveTimers,
	carillon.OpListPartitions,
	carillon.OpDescribeGroup,
	carillon.OpDrainWorker,
}

// Registry is where workflows are registered: a worker of the Temporal SDK, its replayer, its test environment.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// Register registers all workflows under the names that the package carillon documents. They have to be served on
// carillon.TaskQueue of the group, together with the operations' activities.
func Register(r Registry) {
	for _, name := range Operations {
		r.RegisterWorkflowWithOptions(operation(name), workflow.RegisterOptions{Name: name})
	}
	r.RegisterWorkflowWithOptions(Sweeper, workflow.RegisterOptions{Name: carillon.WorkflowSweeper})
	r.RegisterWorkflowWithOptions(Firing, workflow.RegisterOptions{Name: carillon.WorkflowFiring})
	r.RegisterWorkflowWithOptions(Coordinator, workflow.RegisterOptions{Name: carillon.WorkflowCoordinator})
}
