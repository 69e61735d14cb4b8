package devserver

import (
	"errors"
	"fmt"
	"os"
)

// ErrDataInUse is what starting a server on data that another one has open ends with.
var ErrDataInUse = errors.New("data already in use")

// lockData takes the lock file that keeps a second server from opening the same data. The lock belongs to the open file, so the
// kernel gives it back however the process ends. The file itself stays: removing it would let two processes lock two files
// of one name.
func lockData(what, path string) (release func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: open its lock file: %w", what, err)
	}
	if err := lockFile(file); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %s: %w: stop the server that uses it, or choose another data directory (%w)",
			what, path, ErrDataInUse, err)
	}
	return file.Close, nil
}
