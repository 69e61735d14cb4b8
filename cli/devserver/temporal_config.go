package devserver

import (
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

// storeName is the server's name for its only data store.
const storeName = "sqlite"

// temporalPorts are the ports of one server.
type temporalPorts struct {
	frontend, http, history, matching, worker int
}

func pickTemporalPorts(options TemporalOptions) (temporalPorts, error) {
	var ports temporalPorts
	outer, err := freePorts(options.IP, 2)
	if err != nil {
		return ports, err
	}
	ports.frontend, ports.http = outer[0], outer[1]
	if options.Port != 0 {
		if err := checkPort("temporal frontend", options.IP, options.Port); err != nil {
			return ports, err
		}
		ports.frontend = options.Port
	}
	if options.HTTPPort != 0 {
		if err := checkPort("temporal HTTP API", options.IP, options.HTTPPort); err != nil {
			return ports, err
		}
		ports.http = options.HTTPPort
	}
	inner, err := freePorts(loopback, 3)
	if err != nil {
		return ports, err
	}
	ports.history, ports.matching, ports.worker = inner[0], inner[1], inner[2]
	return ports, nil
}

// staticHosts tells each service where the others are, which spares the server its gossip and most of its start-up time.
func staticHosts(options TemporalOptions, ports temporalPorts) map[primitives.ServiceName]static.Hosts {
	host := func(ip string, port int) static.Hosts {
		return static.SingleLocalHost(net.JoinHostPort(ip, strconv.Itoa(port)))
	}
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: host(dialable(options.IP), ports.frontend),
		primitives.HistoryService:  host(loopback, ports.history),
		primitives.MatchingService: host(loopback, ports.matching),
		primitives.WorkerService:   host(loopback, ports.worker),
	}
}

// serverConfig is what a configuration file says to a server that is started the usual way.
func serverConfig(options TemporalOptions, ports temporalPorts, db *config.SQL) *config.Config {
	frontend := net.JoinHostPort(dialable(options.IP), strconv.Itoa(ports.frontend))
	http := net.JoinHostPort(dialable(options.IP), strconv.Itoa(ports.http))
	inner := func(port int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: loopback}}
	}
	const off = "disabled"
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{
				// Twice this is the time that the services have to start, also on a machine that is busy with other things.
				MaxJoinDuration:  time.Minute,
				BroadcastAddress: loopback,
			},
		},
		Persistence: config.Persistence{
			DefaultStore:    storeName,
			VisibilityStore: storeName,
			// The number is part of the data and can never change. One SQLite connection feeds no more than one shard.
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{storeName: {SQL: db}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {
					Enabled:                true,
					InitialFailoverVersion: 1,
					RPCAddress:             frontend,
					HTTPAddress:            http,
				},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): {RPC: config.RPC{
				GRPCPort: ports.frontend,
				HTTPPort: ports.http,
				BindOnIP: options.IP,
			}},
			string(primitives.HistoryService):  inner(ports.history),
			string(primitives.MatchingService): inner(ports.matching),
			string(primitives.WorkerService):   inner(ports.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: off},
			Visibility: config.VisibilityArchival{State: off},
		},
		NamespaceDefaults: config.NamespaceDefaults{
			Archival: config.ArchivalNamespaceDefaults{
				History:    config.HistoryArchivalNamespaceDefaults{State: off},
				Visibility: config.VisibilityArchivalNamespaceDefaults{State: off},
			},
		},
		// How the server's own workers find the frontend.
		PublicClient: config.PublicClient{HostPort: frontend},
	}
}
