package worker

import (
	"github.com/carillon-io/carillon/activities"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/workflows"
)

// Registry is where workflows and activities are registered: a worker.Worker of Temporal's SDK is one.
type Registry interface {
	workflows.Registry
	activities.Registry
}

// Register registers all of Carillon's workflows, and the activities of the operations, with a worker of the Temporal
// SDK. That worker then serves clients who name its task queue; it runs no tasks, which is what New and NewPlugin are
// for. Create it with DisableRegistrationAliasing.
func Register(r Registry, s store.Store) {
	workflows.Register(r)
	(&activities.Operations{Store: s}).Register(r)
}
