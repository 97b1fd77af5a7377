package bunstore

import (
	"errors"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore/migrations"
)

// dialect is everything that differs between the databases.
type dialect struct {
	system     string // as OpenTelemetry's db.system.name has it
	bun        schema.Dialect
	goose      goose.Dialect
	migrations fs.FS

	placeholder string // of the one statement with a bind argument
	lockShard   string // holds the shard's row, and so every other writer of it, until commit
	tableExists string
	shareLock   string // keeps the rows that are read from being removed; passes over those that are

	oneWriter bool // the database has a single write lock
}

func dialectOf(db *bun.DB) (*dialect, bool) {
	switch db.Dialect().Name() {
	case bundialect.PG:
		return &dialect{
			system: "postgresql", bun: pgdialect.New(), goose: goose.DialectPostgres, migrations: migrations.Postgres(),
			placeholder: "$1",
			lockShard:   `SELECT epoch FROM lanyard_epochs WHERE shard = ? FOR UPDATE`,
			tableExists: `SELECT to_regclass(?) IS NOT NULL`,
			shareLock:   "KEY SHARE SKIP LOCKED",
		}, true
	case bundialect.SQLite:
		return &dialect{
			system: "sqlite", bun: sqlitedialect.New(), goose: goose.DialectSQLite3, migrations: migrations.SQLite(),
			placeholder: "?",
			// An immediate transaction has the lock already. In a deferred one,
			// on a host's own pool, a write takes it.
			lockShard:   `UPDATE lanyard_epochs SET epoch = epoch WHERE shard = ?`,
			tableExists: `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)`,
			oneWriter:   true,
		}, true
	}
	return nil, false
}

// serverSays finds the meaning of a driver's error by its code: the SQLSTATE
// of PostgreSQL (its manual, appendix A) or the result code of SQLite
// (sqlite.org/rescode.html). It returns nil for a code without a meaning here.
func serverSays(err error) error {
	var pg interface{ SQLState() string }
	if errors.As(err, &pg) {
		switch pg.SQLState() {
		case "23505": // unique_violation
			return lanyard.ErrExists
		case "23503": // foreign_key_violation
			return store.ErrOwnerKeyGone
		case "40001", "40P01": // serialization_failure, deadlock_detected
			return errRetry
		case "42P01", "42703": // undefined_table, undefined_column
			return errNoTable
		}
	}
	var lite interface{ Code() int }
	if errors.As(err, &lite) {
		switch lite.Code() {
		case 1555, 2067: // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE
			return lanyard.ErrExists
		case 787: // SQLITE_CONSTRAINT_FOREIGNKEY
			return store.ErrOwnerKeyGone
		case 517: // SQLITE_BUSY_SNAPSHOT
			return errRetry
		case 1: // SQLITE_ERROR, which a missing table or column is among others
			return errNoTable
		}
	}
	return nil
}
