package devserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	temporalsql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	sqliteschema "go.temporal.io/server/schema/sqlite"
)

// clusterName is the name of the one cluster in the server's metadata; it is written into every namespace.
const clusterName = "active"

// busyTimeout is how long SQLite waits for a lock that another connection holds, in milliseconds.
const busyTimeout = "10000"

// databaseCount numbers the databases of this process. The SQLite plugin pools connections by their description for the life
// of the process: a number in it gives every start a connection of its own, which sees what is on the disk, as a new
// process would.
var databaseCount atomic.Int64

// database is the SQLite database of one server.
type database struct {
	config  *config.SQL
	release func() error // gives the lock of the file back
}

// openDatabase creates what is missing (directory, file, schema, namespaces) and locks the file. An empty file name stands for
// a new database in memory.
func openDatabase(
	ctx context.Context,
	file string,
	namespaces []string,
	attributes map[string]enumspb.IndexedValueType,
) (*database, error) {
	number := strconv.FormatInt(databaseCount.Add(1), 10)
	db := &database{
		config: &config.SQL{
			PluginName:        sqliteplugin.PluginName,
			DatabaseName:      "carillon-devserver-" + number,
			ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
		},
		release: func() error { return nil },
	}
	if file != "" {
		if err := db.useFile(ctx, file, number); err != nil {
			return nil, err
		}
	}
	if err := db.createNamespaces(namespaces, attributes); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// useFile points the database to a file, which is created with the schema in it if it is not there.
func (db *database) useFile(ctx context.Context, file, number string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("temporal database %s: %w", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return fmt.Errorf("temporal database %s: create its directory: %w", file, err)
	}
	release, err := lockData("temporal database", file+".lock")
	if err != nil {
		return err
	}
	if err := ensureSchema(ctx, file); err != nil {
		return errors.Join(fmt.Errorf("temporal database %s: %w", file, err), release())
	}
	db.release = release
	db.config.DatabaseName = escapeURI(file)
	db.config.ConnectAttributes = map[string]string{
		"mode": "rw",
		// A write-ahead log that is synced at checkpoints survives the death of the process; only the machine's may cost
		// the last transactions. The defaults sync the disk several times for each transaction.
		"journal_mode": "wal",
		"synchronous":  "normal",
		// The connection of a server that was stopped a moment ago may still finish a transaction.
		"busy_timeout": busyTimeout,
		// SQLite ignores a pragma that it does not know. See databaseCount.
		"carillon_devserver": number,
	}
	// The plugin never closes a pool; a connection with a lifetime at least closes itself when nobody uses it any more.
	db.config.MaxConnLifetime = time.Minute
	return nil
}

// ensureSchema sets the schema up in a file that has none. All of it happens in one transaction, so that a process that dies in
// the middle leaves no half of a schema behind, which the next start would take for a whole one.
func ensureSchema(ctx context.Context, file string) (err error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return errors.New("not a regular file: give the path of a file")
	}
	// An abandoned start may still be rolling back when the lock of the file is free again: wait for that.
	db, err := sql.Open("sqlite", "file:"+escapeURI(file)+"?mode=rwc&_txlock=immediate&_pragma=busy_timeout%3d"+busyTimeout)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit

	var tables int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table'").Scan(&tables); err != nil {
		return fmt.Errorf("not a database that can be read: %w", err)
	}
	if tables > 0 {
		return nil
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaWriter{ctx: ctx, tx: tx}); err != nil {
		return fmt.Errorf("set up the schema: %w", err)
	}
	return tx.Commit()
}

// schemaWriter is as much of an AdminDB as setting up a schema needs.
type schemaWriter struct {
	sqlplugin.AdminDB
	ctx context.Context // of the transaction; the interface has none
	tx  *sql.Tx
}

func (w schemaWriter) Exec(statement string, args ...any) error {
	_, err := w.tx.ExecContext(w.ctx, statement, args...)
	return err
}

// escapeURI escapes a path for the place that the SQLite plugin puts it in: a URI.
func escapeURI(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// createNamespaces registers the namespaces that are not there yet. It writes them into the database because the server's own
// registration becomes visible to its services only seconds later.
func (db *database) createNamespaces(names []string, attributes map[string]enumspb.IndexedValueType) error {
	rows := make([]*sqliteschema.NamespaceConfig, len(names))
	for i, name := range names {
		row, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, attributes)
		if err != nil {
			return fmt.Errorf("temporal namespace %q: search attributes %q: %w",
				name, slices.Sorted(maps.Keys(attributes)), err)
		}
		rows[i] = row
	}
	if err := sqliteschema.CreateNamespaces(db.config, rows...); err != nil {
		return fmt.Errorf("temporal database %s: create the namespaces %q: %w", db.config.DatabaseName, names, err)
	}
	return nil
}

// close gives a file back, and the memory of a database that lived in it.
func (db *database) close() error {
	if db.config.ConnectAttributes["mode"] != "memory" {
		return db.release()
	}
	admin, err := temporalsql.NewSQLAdminDB(sqlplugin.DbKindMain, db.config, resolver.NewNoopResolver(), log.NewNoopLogger(),
		metrics.NoopMetricsHandler)
	if err != nil {
		return fmt.Errorf("temporal database: open it to empty it: %w", err)
	}
	defer admin.Close()
	// The plugin holds on to the connection, and so to every page, as long as the process lives.
	tables, err := admin.ListTables(db.config.DatabaseName)
	if err != nil {
		return fmt.Errorf("temporal database: list its tables to empty it: %w", err)
	}
	for _, table := range tables {
		// A table that belongs to a full-text index refuses to be dropped, and goes with the index.
		_ = admin.DropTable(table)
	}
	if err := admin.Exec("VACUUM"); err != nil {
		return fmt.Errorf("temporal database: empty it: %w", err)
	}
	return nil
}
