package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

// Redis is the tag of the image that EnsureRedis builds.
const Redis = "carillon-test-redis:local"

const (
	// sourceLabel tells what an image was built from, so that it is built again only when that has changed.
	sourceLabel   = "io.carillon.test.source"
	importTimeout = 2 * time.Minute
)

// EnsureRedis makes sure that the engine has the image Redis: this machine's redis-server or valkey-server, as
// /usr/bin/redis-server, with the libraries it needs, and nothing else. It needs no network. It reports whether it had
// to build the image.
func EnsureRedis(ctx context.Context, engine *Engine) (built bool, err error) {
	if runtime.GOOS != "linux" {
		return false, errors.New("an image can be made from an installed redis-server on Linux only")
	}
	server, err := redisproc.LookPath()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	files, err := program(ctx, server, "/usr/bin/redis-server")
	if err != nil {
		return false, err
	}
	settings := []string{
		// Debian's loader would find its libraries by itself; others need its cache file for that.
		"ENV LD_LIBRARY_PATH=" + strings.Join(files.libraryDirs(), ":"),
		"ENV PATH=/usr/bin",
		"VOLUME /data",
		"WORKDIR /data",
		"EXPOSE 6379/tcp",
		`CMD ["redis-server"]`,
	}
	source := files.digest(settings)
	if engine.builtFrom(ctx, Redis) == source {
		return false, nil
	}
	archive, err := files.archive("/data", "/tmp")
	if err != nil {
		return false, err
	}
	answer, err := engine.ImageImport(ctx, client.ImageImportSource{Source: archive, SourceName: "-"}, Redis,
		client.ImageImportOptions{Changes: append(settings, "LABEL "+sourceLabel+"="+source)})
	if err != nil {
		return false, fmt.Errorf("import the image: %w", err)
	}
	defer func() { _ = answer.Close() }()
	if err := importError(answer); err != nil {
		return false, fmt.Errorf("import the image: %w", err)
	}
	return true, nil
}

// builtFrom is the label of an image that tells its source, or "".
func (e *Engine) builtFrom(ctx context.Context, image string) string {
	found, err := e.ImageInspect(ctx, image)
	if err != nil || found.Config == nil {
		return ""
	}
	return found.Config.Labels[sourceLabel]
}

// importError reads the engine's progress messages to their end: an import that fails says so in one of them.
func importError(progress io.Reader) error {
	decoder := json.NewDecoder(progress)
	for {
		var message struct {
			Error string `json:"error"`
		}
		switch err := decoder.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != "":
			return errors.New(message.Error)
		}
	}
}
