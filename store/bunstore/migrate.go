package bunstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/aichub/lanyard"
)

const (
	// gooseTable is where goose keeps which migrations ran.
	gooseTable = "lanyard_migrations"

	// migrationLock is the advisory lock of PostgreSQL that migrating
	// processes hold, apart from goose's own default: "lanyard" as bytes.
	migrationLock = 0x6c_61_6e_79_61_72_64

	// The lock is asked for once a second, for five minutes.
	lockPeriod, lockAttempts = 1, 300

	// A migration that others keep from a table waits two seconds for it, and
	// they behind it; then they have the tables to themselves for busyPause. It
	// is tried that often, which is about five minutes as well.
	busyPause, busyAttempts = 3 * time.Second, 60
)

// Migrate brings the tables to what this library knows and does nothing where
// they are there or beyond. On PostgreSQL any number of processes may call it
// at once; it needs a direct connection. On SQLite the caller sees to it that
// only one process migrates, as package sqlite does.
//
// A migration that fails leaves the tables as they were before it; what is
// wrong with the database once mended, Migrate goes on from there. One that finds
// a table of PostgreSQL in use for long, as by a backup, is tried again for about
// five minutes, and nobody waits for it longer than a few seconds at a time.
func (s *Store) Migrate(ctx context.Context) error {
	var refused error
	if s.pooled {
		refused = &lanyard.InputError{Field: "pooled", Code: lanyard.CodeInvalid, Message: "migrations need a direct connection to the server"}
	}
	_, err := read(ctx, s, "Migrate", refused, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.migrate(ctx)
	})
	return err
}

// CheckSchema returns nil where this library can work with the tables,
// [ErrNotMigrated] where there are none or those of an older library, and a
// [*SchemaError] where they were migrated past it.
func (s *Store) CheckSchema(ctx context.Context) error {
	_, err := read(ctx, s, "CheckSchema", nil, func(ctx context.Context) (struct{}, error) {
		provider, err := s.migrations()
		if err != nil {
			return struct{}{}, err
		}
		version, minReader, err := s.schema(ctx)
		library := latest(provider)
		switch {
		case err != nil:
			return struct{}{}, err
		case minReader > library:
			return struct{}{}, &SchemaError{MinReader: minReader, Library: library}
		case version < library:
			return struct{}{}, ErrNotMigrated
		}
		return struct{}{}, nil
	})
	return err
}

// NeedsMigration reports whether Migrate has something to do.
func (s *Store) NeedsMigration(ctx context.Context) (bool, error) {
	return read(ctx, s, "NeedsMigration", nil, s.behind)
}

// behind reports whether the tables are not there or of an older library.
func (s *Store) behind(ctx context.Context) (bool, error) {
	provider, err := s.migrations()
	if err != nil {
		return false, err
	}
	version, _, err := s.schema(ctx)
	if errors.Is(err, ErrNotMigrated) {
		return true, nil
	}
	return version < latest(provider), err
}

func (s *Store) migrate(ctx context.Context) error {
	provider, err := s.migrations()
	if err != nil {
		return err
	}
	version, _, err := s.schema(ctx)
	if err == nil && version >= latest(provider) {
		return nil // without asking for the lock
	}
	if err != nil && !errors.Is(err, ErrNotMigrated) {
		return err
	}
	for attempt := 1; ; attempt++ {
		_, err = provider.Up(ctx)
		if attempt == busyAttempts || !tableInUse(err) {
			break
		}
		pause := time.NewTimer(busyPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
	var failed *goose.PartialError
	if errors.As(err, &failed) {
		return fmt.Errorf("migration %d: %w", failed.Failed.Source.Version, s.translate(ctx, failed.Err))
	}
	return err
}

// tableInUse reports whether a migration gave up waiting for a table.
func tableInUse(err error) bool {
	var pg interface{ SQLState() string }
	return errors.As(err, &pg) && pg.SQLState() == "55P03" // lock_not_available
}

// migrations returns goose over the embedded migrations.
func (s *Store) migrations() (*goose.Provider, error) {
	o := []goose.ProviderOption{
		goose.WithTableName(gooseTable),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	}
	if s.dialect.goose == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(lockPeriod, lockAttempts))
		if err != nil {
			return nil, err
		}
		o = append(o, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(s.dialect.goose, s.db.DB, s.dialect.migrations, o...)
}

// latest is a library's own number: the highest migration embedded in it.
func latest(p *goose.Provider) int64 {
	sources := p.ListSources() // in ascending order
	return sources[len(sources)-1].Version
}

// schema returns the last migration of the tables and the oldest library that
// can work with them.
func (s *Store) schema(ctx context.Context) (version, minReader int64, err error) {
	switch made, err := s.migrated(ctx); {
	case err != nil:
		return 0, 0, err
	case !made:
		return 0, 0, ErrNotMigrated
	}
	var v, m sql.NullInt64
	err = s.db.NewSelect().Table("lanyard_schema").ColumnExpr("MAX(version), MAX(min_reader)").Scan(ctx, &v, &m)
	return v.Int64, m.Int64, err
}

func (s *Store) migrated(ctx context.Context) (bool, error) {
	var made bool
	err := s.db.NewRaw(s.dialect.tableExists, "lanyard_schema").Scan(ctx, &made)
	return made, err
}
