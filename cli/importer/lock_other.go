//go:build !unix

package importer

import "os"

// lockFile does nothing where there is no flock: two imports of one file at the same time are the user's to avoid.
func lockFile(*os.File) (unlock func() error, err error) { return func() error { return nil }, nil }
