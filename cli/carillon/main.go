// Command carillon runs, fills, inspects and tries out Carillon, a timer service for people who run Temporal. Under the
// name temporal-timer it is an extension of Temporal's own CLI: temporal timer create …
package main

import (
	"os"

	"github.com/carillon-io/carillon/cli"
	"github.com/carillon-io/carillon/cli/platform"
)

func main() {
	env := cli.OSEnv()
	env.StartPlatform, env.StartRedis = platform.Start, platform.StartRedis
	os.Exit(cli.Main(env, os.Args))
}
