package redisproc

import (
	"fmt"
	"strconv"
)

// Config says how to run a server. The zero value is a server as Carillon wants it in production: append-only file,
// fsync every second, nothing evicted, no memory limit.
type Config struct {
	// Binary is the server's path. Default: what LookPath finds.
	Binary string
	// Dir holds the append-only file, the cluster's node file and the log, and must exist. It is left in place. Default: a
	// temporary directory, removed by Close or when this program ends.
	Dir string
	// Port to listen on at 127.0.0.1. Default (0): a free one, kept from other programs that use this package until Close.
	Port int
	// Fsync is the append-only file's fsync policy: always, everysec or no. Default: everysec.
	Fsync string
	// MaxMemory in bytes. Default (0): no limit.
	MaxMemory int64
	// Cluster runs the server as a cluster node. Default: false.
	Cluster bool
	// Args are appended to the command line and so win over what the other fields say.
	Args []string
}

func (c Config) validate() error {
	switch c.Fsync {
	case "always", "everysec", "no":
	default:
		return fmt.Errorf("fsync policy %q: want always, everysec or no", c.Fsync)
	}
	if c.MaxMemory < 0 {
		return fmt.Errorf("max memory %d is negative", c.MaxMemory)
	}
	if c.Port < 0 || c.Port > maxPort {
		return fmt.Errorf("port %d: want 0 to %d, the cluster bus needs the port %d above", c.Port, maxPort, busOffset)
	}
	return nil
}

// commandLine is the server's argument list, without the program's name.
func (c Config) commandLine(dir string, port int) []string {
	args := []string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(port),
		"--dir", dir,
		"--appendonly", "yes",
		"--appendfsync", c.Fsync,
		// The append-only file is what is tested; snapshots beside it would only cost time.
		"--save", "",
		"--maxmemory", strconv.FormatInt(c.MaxMemory, 10),
		"--maxmemory-policy", "noeviction",
	}
	if c.Cluster {
		args = append(args,
			"--cluster-enabled", "yes",
			"--cluster-config-file", "nodes.conf",
			"--cluster-node-timeout", "2000",
			// A node that has not been met yet does not know its own address and would name none in a redirection.
			"--cluster-announce-ip", "127.0.0.1",
		)
	}
	return append(args, c.Args...)
}
