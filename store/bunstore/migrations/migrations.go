// Package migrations holds lanyard's tables as plain SQL, one directory a
// database, for package bunstore and for a host that migrates with a tool of
// its own.
//
// Each file is one migration, named by its number and written for goose; the
// goose annotations are SQL comments, so that other tools can run the files as
// they are. A host that does so runs each file once, in order, in a
// transaction, and leaves Migrate alone, whose record would not know of it.
//
// Each migration inserts one row into lanyard_schema: its number, and as
// min_reader the number of the oldest migration whose library still works with
// the tables as they are then. A library's own number is the highest migration
// embedded in it. That is how old processes live on through a rolling deploy
// until a change comes that they cannot live with.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Postgres returns the migrations for PostgreSQL, at the root of the tree.
func Postgres() fs.FS { return sub("postgres") }

// SQLite returns the migrations for SQLite, at the root of the tree.
func SQLite() fs.FS { return sub("sqlite") }

func sub(dir string) fs.FS {
	tree, err := fs.Sub(files, dir)
	if err != nil { // only for an invalid name, and these are constants
		panic(err)
	}
	return tree
}
