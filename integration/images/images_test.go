package images

import (
	"archive/tar"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestProgram(t *testing.T) {
	t.Parallel()
	files, err := program(t.Context(), os.Args[0], "/usr/bin/test") // statically linked or not
	require.NoError(t, err)
	require.NotEmpty(t, files["/usr/bin/test"])

	_, err = program(t.Context(), "/nowhere", "/nowhere")
	require.Error(t, err)
}

func TestLibraryLine(t *testing.T) {
	t.Parallel()
	out := "\tlinux-vdso.so.1 (0x00007f014d2a3000)\n" +
		"\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f014cf20000)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f014d2a5000)\n"
	var found []string
	for _, match := range libraryLine.FindAllStringSubmatch(out, -1) {
		found = append(found, match[1])
	}
	require.Equal(t, []string{"/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"}, found)
}

func TestFileSet(t *testing.T) {
	t.Parallel()
	files := fileSet{"/usr/bin/p": []byte("program"), "/lib/a.so.1": []byte("a"), "/lib/b.so": []byte("b")}
	require.Equal(t, []string{"/lib"}, files.libraryDirs())
	require.Equal(t, files.digest(nil), maps.Clone(files).digest(nil))
	require.NotEqual(t, files.digest(nil), files.digest([]string{"VOLUME /data"}))

	buffer, err := files.archive("/data")
	require.NoError(t, err)
	in := tar.NewReader(buffer)
	got := map[string]string{}
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		content, err := io.ReadAll(in)
		require.NoError(t, err)
		got[header.Name] = string(content)
	}
	require.Equal(t, map[string]string{"data/": "", "usr/bin/p": "program", "lib/a.so.1": "a", "lib/b.so": "b"}, got)
}

func TestImportError(t *testing.T) {
	t.Parallel()
	require.NoError(t, importError(strings.NewReader(`{"status":"sha256:1"}`+"\n")))
	require.ErrorContains(t, importError(strings.NewReader(`{"status":"x"}{"error":"no space left"}`)), "no space left")
	require.Error(t, importError(strings.NewReader(`{"status"`)))
}

func TestFindEngineAsksOnlyTheNamedOne(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere.sock")
	_, err := FindEngine(t.Context())
	require.ErrorContains(t, err, "nowhere.sock")
}

func TestEnsureRedisIsBuiltOnce(t *testing.T) {
	t.Parallel()
	engine, err := FindEngine(t.Context())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	if _, err := redisproc.LookPath(); err != nil {
		t.Skip(err)
	}
	_, err = EnsureRedis(t.Context(), engine)
	require.NoError(t, err)
	built, err := EnsureRedis(t.Context(), engine)
	require.NoError(t, err)
	require.False(t, built)
	require.True(t, engine.Has(t.Context(), Redis))
}

func TestPullIsBounded(t *testing.T) {
	t.Parallel()
	engine, err := FindEngine(t.Context())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	// A registry that accepts connections and never answers.
	registry, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, registry.Close()) })
	image := registry.Addr().String() + "/redis:none"

	start := time.Now()
	require.ErrorContains(t, engine.Pull(t.Context(), image, time.Second), "not pulled within 1s")
	require.Less(t, time.Since(start), 10*time.Second)
	require.False(t, engine.Has(t.Context(), image))
}
