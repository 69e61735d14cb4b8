package devserver

import (
	"errors"
	"fmt"
	"slices"

	"go.temporal.io/server/chasm/lib/activity"
	"go.temporal.io/server/common/dynamicconfig"
	"gopkg.in/yaml.v3"
)

// unlimited is a rate that no single machine reaches.
const unlimited = 1_000_000

// setting is one default that differs from the server's own.
type setting struct {
	key   dynamicconfig.GenericSetting
	value any
}

// developmentSettings are the dynamic configuration values of a server that has one user, one process and one database.
var developmentSettings = []setting{
	// The limits protect shared clusters from their tenants. Here they would only make a load test measure themselves.
	{dynamicconfig.FrontendRPS, unlimited},
	{dynamicconfig.FrontendMaxNamespaceRPSPerInstance, unlimited},
	{dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance, unlimited},
	{dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance, unlimited},
	{dynamicconfig.FrontendNamespaceReplicationInducingAPIsRPS, unlimited},
	{dynamicconfig.FrontendMaxNamespaceNamespaceReplicationInducingAPIsRPSPerInstance, unlimited},
	{dynamicconfig.FrontendGlobalWorkerDeploymentReadRPS, unlimited},
	{dynamicconfig.HistoryRPS, unlimited},
	{dynamicconfig.MatchingRPS, unlimited},
	{dynamicconfig.FrontendPersistenceMaxQPS, unlimited},
	{dynamicconfig.HistoryPersistenceMaxQPS, unlimited},
	{dynamicconfig.MatchingPersistenceMaxQPS, unlimited},
	{dynamicconfig.WorkerPersistenceMaxQPS, unlimited},
	{dynamicconfig.VisibilityPersistenceMaxReadQPS, unlimited},
	{dynamicconfig.VisibilityPersistenceMaxWriteQPS, unlimited},
	// Nexus operations and callbacks leave through the outbound queue: 100 a second by default.
	{dynamicconfig.OutboundQueueHostSchedulerMaxTaskRPS, float64(unlimited)},

	// A search attribute that was just added is usable at once, not after the next refresh of a cache.
	{dynamicconfig.ForceSearchAttributesCacheRefreshOnRead, true},

	// Standalone activities themselves are on since server 1.32; what lets the Web UI and the CLI act on them is not.
	{activity.Enabled, true},
	{activity.EnableStandaloneActivityOperatorCommands, true},
	{dynamicconfig.FrontendEnableBatchOperationsForStandaloneActivities, true},

	// The server starts SDK workers for these and never stops them: after a restart in one process, those of the stopped
	// server would poll the new one. The scanners clean up what years leave behind; parents close their children without
	// a worker as well, only less quickly when there are many.
	{dynamicconfig.TaskQueueScannerEnabled, false},
	{dynamicconfig.HistoryScannerEnabled, false},
	{dynamicconfig.EnableParentClosePolicyWorker, false},

	// The default of 128,000 cached executions is sized for a history host, not for a laptop.
	{dynamicconfig.HistoryCacheHostLevelMaxSize, 8_192},

	// A development server calls nobody.
	{dynamicconfig.EnableServerVersionCheck, false},
}

// newDynamicConfig returns the dynamic configuration: the values above, and over them the given ones.
func newDynamicConfig(values map[string]any) (*dynamicconfig.MemoryClient, error) {
	client := dynamicconfig.NewMemoryClient()
	for _, s := range developmentSettings {
		client.OverrideSetting(s.key, s.value)
	}
	var errs []error
	for key, value := range values {
		checked, err := checkDynamicConfig(key, value)
		errs = append(errs, err)
		client.OverrideValue(dynamicconfig.MakeKey(key), checked)
	}
	return client, errors.Join(errs...)
}

// checkDynamicConfig refuses a key that the server does not know and a value that the key does not take: the server itself
// would ignore both without a word. It returns the value in the form that the server reads.
func checkDynamicConfig(key string, value any) (any, error) {
	document, err := yaml.Marshal([]map[string]any{{"value": value}})
	if err != nil {
		return nil, fmt.Errorf("dynamic config %q: value %v: %w", key, value, err)
	}
	var loader dynamicconfig.YamlLoader
	loader.LoadValue(dynamicconfig.MakeKey(key), document)
	if err := errors.Join(slices.Concat(loader.Errors, loader.Warnings)...); err != nil {
		return nil, fmt.Errorf("dynamic config %q: not accepted by this version of the Temporal server: %w", key, err)
	}
	return loader.Map[dynamicconfig.MakeKey(key)], nil
}
