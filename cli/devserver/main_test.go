package devserver_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/carillon-io/carillon/cli/devserver"
)

// childOfTest is the environment variable that makes the test binary play the process that is killed in
// TestRedisDiesWithItsParent.
const childOfTest = "CARILLON_DEVSERVER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childOfTest) != "" {
		holdRedis()
	}
	os.Exit(m.Run())
}

// holdRedis starts a Redis, prints where it is, and waits to be killed.
func holdRedis() {
	server, err := devserver.StartRedis(context.Background(), devserver.RedisOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.Address(), server.PID())
	select {}
}
