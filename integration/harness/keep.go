package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// EnvCheckDir names a folder that takes the record of every run that is verified, for carillon-check.
const EnvCheckDir = "CARILLON_CHECK_DIR"

// keep writes down what was asked for and received, where that is asked for, or something is broken.
func (g *Group) keep(t testing.TB, broken bool) {
	t.Helper()
	dir := os.Getenv(EnvCheckDir)
	if dir == "" && !broken {
		return
	}
	if dir == "" {
		dir = os.TempDir()
	}
	dir = filepath.Join(dir, "carillon-"+strings.ReplaceAll(t.Name(), "/", "-")+"-"+g.Name)
	if err := g.Ledger.WriteDir(dir); err != nil {
		t.Errorf("the record of the run: %v", err)
		return
	}
	t.Logf("the record of the run, for carillon-check, is in %s", dir)
}
