package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// databaseVariable keeps a password out of the list of processes.
const databaseVariable = "LANYARD_DATABASE"

// database is the flag that names one. Its default is not the environment's, or
// help would print that.
type database struct{ flag string }

func databaseFlag(flags *flag.FlagSet) *database {
	d := new(database)
	flags.StringVar(&d.flag, "database", "",
		"a `DATABASE`: postgres://…, host=… user=… dbname=…, or the path of a SQLite file\n(default $"+databaseVariable+", which keeps a password out of the list of processes)")
	return d
}

// tables is a store that can be migrated.
type tables interface {
	store.Store
	Migrate(ctx context.Context) error
	NeedsMigration(ctx context.Context) (bool, error)
	Damaged(ctx context.Context) ([]bunstore.Damaged, error)
}

func (d *database) name() string { return cmp.Or(d.flag, os.Getenv(databaseVariable)) }

func (d *database) given() bool { return d.name() != "" }

// pairs are how PostgreSQL's key=value form begins (its manual, section 34.1.1.1).
var pairs = regexp.MustCompile(`^\s*[a-z_]+\s*=`)

func (d *database) postgres() bool {
	return strings.HasPrefix(d.name(), "postgres://") || strings.HasPrefix(d.name(), "postgresql://") || pairs.MatchString(d.name())
}

// notAFile finds what is hardly the path of a file, and may hold a password: a
// URL, somebody at a server, a part of PostgreSQL's pairs.
var notAFile = regexp.MustCompile(`(?i)://|^[^/\\]*:[^/\\]*@|\b(?:host|hostaddr|port|user|password|dbname|service|sslmode)\s*=`)

// open opens the database. It creates a SQLite file only where create is set,
// so that a misspelled path is not an empty database.
func (d *database) open(ctx context.Context, create bool) (tables, error) {
	switch {
	case !d.given():
		return nil, usagef("-database is missing")
	case d.postgres():
		return opened(postgres.Open(ctx, d.name(), nil))
	case notAFile.MatchString(d.name()):
		return nil, usagef("-database is neither a URL of PostgreSQL's, as postgres://…, nor its pairs, as host=…, nor the path of a file")
	case !create:
		// Its name is not repeated: it may be meant for PostgreSQL, with a password.
		if _, err := os.Stat(d.name()); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no such SQLite file; migrate makes one, and PostgreSQL wants a URL: %w", fs.ErrNotExist)
		}
	}
	return opened(sqlite.Open(ctx, d.name(), nil))
}

// opened makes a nil pointer a nil interface.
func opened[S tables](st S, err error) (tables, error) {
	if err != nil {
		return nil, err
	}
	return st, nil
}

// with runs f on the database and closes it.
func (d *database) with(ctx context.Context, f func(st tables) error) error {
	st, err := d.open(ctx, false)
	if err != nil {
		return err
	}
	return errors.Join(f(st), st.Close())
}

func prepareMigrate(j *job, flags *flag.FlagSet) action {
	d := databaseFlag(flags)
	return func(ctx context.Context, _ []string) error {
		st, err := d.open(ctx, true)
		if err != nil {
			return err
		}
		needed, err := st.NeedsMigration(ctx)
		if err == nil {
			err = st.Migrate(ctx)
		}
		if err := errors.Join(err, st.Close()); err != nil {
			return err
		}
		return j.tell(map[string]bool{"migrated": needed}, func(w io.Writer) {
			if needed {
				fmt.Fprintln(w, "the tables were migrated")
			} else {
				fmt.Fprintln(w, "the tables are up to date")
			}
		})
	}
}
