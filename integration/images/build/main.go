// Command build gives the Docker engine the images that the tests use. It is quick when they are there already.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/carillon-io/carillon/integration/images"
)

func main() {
	if err := build(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context) error {
	engine, err := images.FindEngine(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = engine.Close() }()
	built, err := images.EnsureRedis(ctx, engine)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s\n", images.Redis, map[bool]string{true: "built", false: "up to date"}[built])
	return nil
}
