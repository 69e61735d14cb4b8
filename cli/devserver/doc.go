// Package devserver runs everything that Carillon needs inside one process, for development and for tests: a Temporal
// server on SQLite, the Temporal Web UI, and a Redis.
//
//	server, err := devserver.Start(ctx, devserver.Options{DataDir: "./data"})
//	if err != nil {
//		return err
//	}
//	defer server.Stop()
//	fmt.Println(server.Temporal.Address(), server.UI.URL(), server.Redis.URL(), server.Redis.Kind())
//
// Each part can also be started alone with [StartTemporal], [StartUI] and [StartRedis], stopped, and started again on the
// same port with the same data, which is what fault tests do.
//
// # What it is not
//
// It is no production deployment. Nothing asks for a password and nothing is encrypted; that is why everything listens on the
// loopback interface unless it is told otherwise. All four Temporal services share one SQLite connection and one history
// shard, so it is an honest place to develop in and a poor one to measure Temporal's own capacity.
//
// # Redis
//
// A timer service that forgets its timers is not much of one, so [StartRedis] prefers a real server: redis-server or
// valkey-server, 7.0 or newer, found in PATH and run as a child process with an append-only file. Without one it falls back to
// a server embedded in this process that keeps everything in memory; [Redis.Kind] says in words which one it became, and
// [Redis.Real] in one bit. The child dies with this process: on Linux even when this process is killed outright, elsewhere
// only when [Redis.Stop] runs.
//
// # Data
//
// With a data directory, Temporal's database and Redis's append-only file survive a restart. A lock file beside each of them
// keeps a second process from opening the same data: two servers appending to one file would destroy it. Without a data
// directory everything is forgotten at Stop.
//
// # Things that outlive Stop
//
// The Temporal server does not tidy up after itself as a server does that expects to live as long as its process: its SQLite
// plugin never closes a connection pool, and its services never close the connections between them. [Temporal.Stop] empties an
// in-memory database, and the connection to a file closes by itself after a minute, but some thirty idle goroutines of
// database/sql and of gRPC remain for each server that was started. They hold no port and no data; a leak detector has to
// ignore database/sql.(*DB).connectionOpener, database/sql.(*DB).connectionCleaner,
// google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run and
// google.golang.org/grpc.(*addrConn).resetTransportAndUnlock. The gRPC connection of a stopped Web UI remains in the same way.
package devserver
