package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

// fileSet is the content of an image: path in the image → content.
type fileSet map[string][]byte

// libraryLine finds the path in a line of ldd: "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)", or for the loader
// "/lib64/ld-linux-x86-64.so.2 (0x…)".
var libraryLine = regexp.MustCompile(`(?m)(?:^|=>)\s*(/\S+) \(0x[0-9a-f]+\)$`)

// program collects a program and the shared libraries it needs. In the image the program has the path as, the libraries
// have their own.
func program(ctx context.Context, binary, as string) (fileSet, error) {
	out, err := exec.CommandContext(ctx, "ldd", binary).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
		return nil, fmt.Errorf("ldd %s: %w: %s", binary, err, out)
	}
	if strings.Contains(string(out), "not found") {
		return nil, fmt.Errorf("ldd %s: a library is missing:\n%s", binary, out)
	}
	files := fileSet{}
	if files[as], err = os.ReadFile(binary); err != nil {
		return nil, err
	}
	for _, match := range libraryLine.FindAllStringSubmatch(string(out), -1) {
		if files[match[1]], err = os.ReadFile(match[1]); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (f fileSet) paths() []string { return slices.Sorted(maps.Keys(f)) }

// libraryDirs are the directories of the libraries.
func (f fileSet) libraryDirs() []string {
	var dirs []string
	for _, name := range f.paths() {
		if strings.Contains(path.Base(name), ".so") {
			dirs = append(dirs, path.Dir(name))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// digest names the content and the settings of an image made of it.
func (f fileSet) digest(settings []string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", settings)
	for _, name := range f.paths() {
		fmt.Fprintf(sum, "%s %d\n", name, len(f[name]))
		sum.Write(f[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// archive is the content as a tar file, with some empty directories that everybody may write to.
func (f fileSet) archive(dirs ...string) (*bytes.Buffer, error) {
	var buffer bytes.Buffer
	out := tar.NewWriter(&buffer)
	for _, dir := range dirs {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o1777}
		if err := out.WriteHeader(header); err != nil {
			return nil, err
		}
	}
	for _, name := range f.paths() {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(f[name]))}
		if err := out.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := out.Write(f[name]); err != nil {
			return nil, err
		}
	}
	return &buffer, out.Close()
}
