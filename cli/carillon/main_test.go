package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"carillon": main, "temporal-timer": main})
}

// TestScripts runs testdata/script/*.txtar with the real binary. Beside testscript's own commands there are:
//
//	dev [flags]           start carillon dev on free ports, until the script ends; TEMPORAL_ADDRESS and REDIS say where
//	stopdev               interrupt it, and see that it ends well
//	lines FILE N [TEXT]   write N lines to a file: timers in JSON, TEXT being more fields of each
//	killimport FILE N     run carillon timer import and kill -9 it once the journal tells of N answered batches
//	field FILE NAME WANT  see that a JSON document's field (a.b for one within another) has a value
//	code N PROGRAM ...    run a program that must end with the exit code
//	members GROUP ID ...  have workers that run nothing live in a group at REDIS, until the script ends
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir) // nobody's own configuration
			env.Setenv("PATH", env.Getenv("PATH")+string(os.PathListSeparator)+"/usr/sbin")
			env.Values[devKey{}] = &dev{}
			env.Defer(env.Values[devKey{}].(*dev).kill)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev": startDev, "stopdev": stopDev, "lines": writeLines, "killimport": killImport, "field": checkField,
			"code": checkCode, "members": startMembers,
		},
	})
}

type devKey struct{}

// dev is a running carillon dev.
type dev struct {
	cmd    *exec.Cmd
	stderr string // the file that takes it
}

const patience = 3 * time.Minute // on a machine that is busy with other tests

func program(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	path, err := lookPath(ts, name)
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, key := range []string{
		"PATH", "HOME", "TMPDIR", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "CARILLON_REDIS_URL", "CARILLON_GROUP",
	} {
		if value := ts.Getenv(key); value != "" {
			cmd.Env = append(cmd.Env, key+"="+value)
		}
	}
	return cmd
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH", name)
}

func startDev(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(devKey{}).(*dev)
	args = append([]string{"dev", "--port", "0", "--ui-port", "0", "--redis-port", "0", "-o", "jsonl"}, args...)
	d.cmd = program(ts, "carillon", args...)
	d.stderr = ts.MkAbs("dev.stderr")
	log, err := os.OpenFile(d.stderr, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	d.cmd.Stderr = log
	out, err := d.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(d.cmd.Start())
	ts.Check(log.Close())

	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		answers <- answer{line, err}
		_, _ = io.Copy(io.Discard, out)
	}()
	var got answer
	select {
	case got = <-answers:
	case <-time.After(patience):
		got.err = fmt.Errorf("not started after %s", patience)
	}
	if got.err != nil {
		ts.Fatalf("carillon dev: %v\n%s", got.err, ts.ReadFile("dev.stderr"))
	}
	var info map[string]any
	ts.Check(json.Unmarshal([]byte(got.line), &info))
	ts.Setenv("TEMPORAL_ADDRESS", info["address"].(string))
	ts.Setenv("REDIS", info["redis_url"].(string))
	ts.Setenv("UI", fmt.Sprint(info["ui"]))
}

func stopDev(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(devKey{}).(*dev)
	ts.Check(d.cmd.Process.Signal(os.Interrupt))
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	select {
	case err := <-ended:
		d.cmd = nil
		if err != nil {
			ts.Fatalf("carillon dev: %v\n%s", err, ts.ReadFile("dev.stderr"))
		}
	case <-time.After(patience):
		ts.Fatalf("carillon dev does not end\n%s", ts.ReadFile("dev.stderr"))
	}
}

func (d *dev) kill() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

func writeLines(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: lines FILE N [TEXT]")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	more := strings.Join(args[2:], " ")
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, `{"client_id":"importer","delay":"6h","target":{"mailbox":{}},"payload":%d%s}`+"\n", i+1, more)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

func killImport(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: killimport FILE N [flags]")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	cmd := program(ts, "carillon", append([]string{"timer", "import", "--file", args[0]}, args[2:]...)...)
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(patience)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			data, _ := os.ReadFile(ts.MkAbs(args[0] + ".carillon-import"))
			if strings.Count(string(data), `{"answer":`) < want {
				continue
			}
			_ = cmd.Process.Kill() // it may just have ended
			<-ended                //nolint:errcheck // that it was killed is looked at below
			if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				ts.Fatalf("the import had ended before it could be killed: give it more lines")
			}
			return
		case err := <-ended:
			ts.Fatalf("the import has ended before it could be killed: %v", err)
		case <-deadline:
			_ = cmd.Process.Kill()
			<-ended //nolint:errcheck // it was killed
			ts.Fatalf("the import does not get anywhere")
		}
	}
}

func checkField(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: field FILE NAME WANT")
	}
	var value any
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	dec.UseNumber()
	ts.Check(dec.Decode(&value))
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("%s holds more than one JSON document", args[0])
	}
	for _, name := range strings.Split(args[1], ".") {
		object, ok := value.(map[string]any)
		if !ok {
			ts.Fatalf("there is no %s in %v", args[1], value)
		}
		if value, ok = object[name]; !ok {
			ts.Fatalf("there is no %s", args[1])
		}
	}
	if got := fmt.Sprint(value); (got == args[2]) == neg {
		ts.Fatalf("%s is %s, not %s", args[1], got, args[2])
	}
}

func checkCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}
