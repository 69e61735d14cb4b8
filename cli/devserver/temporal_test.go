package devserver_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon/cli/devserver"
)

var activityOptions = activity.RegisterOptions{Name: activityName}

func TestEverythingInMemory(t *testing.T) {
	t.Parallel()
	began := time.Now()
	server, err := devserver.Start(t.Context(), devserver.Options{
		Temporal: devserver.TemporalOptions{Namespaces: []string{"tenant", "default", "tenant"}},
		UI:       devserver.UIOptions{CodecEndpoint: "http://127.0.0.1:1/codec"},
		Logger:   testLog(t),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	t.Logf("everything started in %s, with Redis %s", time.Since(began), server.Redis.Kind())
	require.Equal(t, []string{"tenant", "default"}, server.Temporal.Namespaces())
	require.NoError(t, redisClient(t, server.Redis).Ping(t.Context()).Err())

	c := dial(t, server.Temporal)
	work(t, c)

	t.Run("a workflow runs", func(t *testing.T) {
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: taskQueue}, workflowName, "Bell")
		require.NoError(t, err)
		var answer string
		require.NoError(t, run.Get(t.Context(), &answer))
		require.Equal(t, "Hello, Bell.", answer)
	})
	t.Run("a standalone activity runs", func(t *testing.T) {
		handle, err := c.ExecuteActivity(t.Context(), client.StartActivityOptions{
			ID:                  "standalone",
			TaskQueue:           taskQueue,
			StartToCloseTimeout: 10 * time.Second,
		}, activityName, "Clapper")
		require.NoError(t, err)
		var answer string
		require.NoError(t, handle.Get(t.Context(), &answer))
		require.Equal(t, "Hello, Clapper.", answer)
	})
	t.Run("the Web UI shows its page and reaches the server", func(t *testing.T) {
		require.Contains(t, get(t, server.UI.URL()+"/"), "<!doctype html>")
		settings := get(t, server.UI.URL()+"/api/v1/settings")
		require.Contains(t, settings, "http://127.0.0.1:1/codec")
		require.Contains(t, settings, `"DefaultNamespace":"tenant"`)
		require.Contains(t, get(t, server.UI.URL()+"/api/v1/namespaces"), "tenant")
	})
	t.Run("dynamic configuration changes while it runs", func(t *testing.T) {
		restore, err := server.Temporal.SetDynamicConfig("frontend.namespaceRPS", 100)
		require.NoError(t, err)
		restore()
		_, err = server.Temporal.SetDynamicConfig("frontend.noSuchKey", 100)
		require.ErrorContains(t, err, "frontend.noSuchKey")
	})
}

func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", url, body)
	return string(body)
}

func TestTemporalRestartsOnItsFileAndPort(t *testing.T) {
	t.Parallel()
	options := devserver.TemporalOptions{
		// Characters that mean something in the URI that SQLite gets the path in.
		DBFile: filepath.Join(t.TempDir(), "a b#c%d?e", "temporal.db"),
	}
	began := time.Now()
	first := startTemporal(t, options)
	t.Logf("started on a new file in %s", time.Since(began))
	run, err := dial(t, first).ExecuteWorkflow(t.Context(),
		client.StartWorkflowOptions{ID: "survivor", TaskQueue: taskQueue}, workflowName, "Bell")
	require.NoError(t, err)

	options.Port = port(t, first.Address())
	_, err = devserver.StartTemporal(t.Context(), options)
	require.ErrorIs(t, err, devserver.ErrPortInUse)
	onOtherPort := options
	onOtherPort.Port = 0
	_, err = devserver.StartTemporal(t.Context(), onOtherPort)
	require.ErrorIs(t, err, devserver.ErrDataInUse)

	began = time.Now()
	require.NoError(t, first.Stop())
	t.Logf("stopped in %s", time.Since(began))
	require.NoError(t, first.Stop())

	options.Namespaces = []string{"default", "new"}
	options.SearchAttributes = map[string]enumspb.IndexedValueType{
		"CarillonGroup": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"CarillonEpoch": enumspb.INDEXED_VALUE_TYPE_INT,
	}
	began = time.Now()
	second := startTemporal(t, options)
	t.Logf("started again on the file in %s", time.Since(began))
	require.Equal(t, first.Address(), second.Address())

	c := dial(t, second)
	work(t, c)
	var answer string
	require.NoError(t, c.GetWorkflow(t.Context(), "survivor", run.GetRunID()).Get(t.Context(), &answer))
	require.Equal(t, "Hello, Bell.", answer)

	for _, namespace := range second.Namespaces() {
		present, err := c.OperatorService().ListSearchAttributes(t.Context(),
			&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		require.NoError(t, err)
		require.Equal(t, options.SearchAttributes, present.GetCustomAttributes(), namespace)
	}
}

func TestTemporalStartsInTimeOrNot(t *testing.T) {
	t.Parallel()
	// Long enough to get under way, too short to get there.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	options := devserver.TemporalOptions{DBFile: filepath.Join(t.TempDir(), "temporal.db")}
	_, err := devserver.StartTemporal(ctx, options)
	require.Error(t, err)
	// What was abandoned gives the file back as soon as it gets to it.
	deadline := time.After(6 * patience)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		server, err := devserver.StartTemporal(t.Context(), options)
		if err == nil {
			require.NoError(t, server.Stop())
			return
		}
		require.ErrorIs(t, err, devserver.ErrDataInUse)
		select {
		case <-ticker.C:
		case <-deadline:
			require.Fail(t, "the file was not given back")
		}
	}
}

func TestTemporalRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options devserver.TemporalOptions
		want    string
	}{
		"an address that is none":     {devserver.TemporalOptions{IP: "localhost"}, "127.0.0.1"},
		"a namespace without name":    {devserver.TemporalOptions{Namespaces: []string{"a", ""}}, "has no name"},
		"an unknown dynamic config":   {devserver.TemporalOptions{DynamicConfig: map[string]any{"frontend.nope": 1}}, "frontend.nope"},
		"a dynamic config mistyped":   {devserver.TemporalOptions{DynamicConfig: map[string]any{"frontend.rps": "many"}}, "frontend.rps"},
		"a directory as its database": {devserver.TemporalOptions{DBFile: t.TempDir()}, "not a regular file"},
		"an occupied port":            {devserver.TemporalOptions{Port: occupied(t)}, "choose another port"},
		"an occupied HTTP port":       {devserver.TemporalOptions{HTTPPort: occupied(t)}, "choose another port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := devserver.StartTemporal(t.Context(), test.options)
			require.ErrorContains(t, err, test.want)
		})
	}
}
