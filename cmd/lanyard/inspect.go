package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	sqlite "modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store/bunstore/migrations"
)

// maxSkew is how far the database's clock may be from this one. What expires
// does so by the clock of the process that looks.
const maxSkew = 5 * time.Second

// What the migrations make, and what a later one takes away again.
var (
	madeIndex   = regexp.MustCompile(`(?i)CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(lanyard_\w+)`)
	goneIndex   = regexp.MustCompile(`(?i)DROP\s+INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+EXISTS\s+)?(lanyard_\w+)`)
	madeTable   = regexp.MustCompile(`(?is)CREATE\s+TABLE\s+(lanyard_\w+)\s*\((.*?)\n\)`)
	plainColumn = regexp.MustCompile(`(?im)^\s*(\w+)\s+text\s+COLLATE\s+"C"`)
)

// expected reads the migrations: the names of the indexes, and the columns
// that compare byte for byte, as table.column.
func expected(files fs.FS) (indexes, columns []string, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, nil, err
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, found := range madeIndex.FindAllStringSubmatch(up, -1) {
			indexes = append(indexes, found[1])
		}
		for _, found := range goneIndex.FindAllStringSubmatch(up, -1) {
			indexes = slices.DeleteFunc(indexes, func(name string) bool { return name == found[1] })
		}
		for _, table := range madeTable.FindAllStringSubmatch(up, -1) {
			for _, column := range plainColumn.FindAllStringSubmatch(table[2], -1) {
				columns = append(columns, table[1]+"."+column[1])
			}
		}
	}
	return indexes, columns, nil
}

// inspect looks at what the store takes for granted: its indexes, and on
// PostgreSQL the collation of its keys and the clock.
func (d *database) inspect(ctx context.Context, now func() time.Time) []check {
	db, files, err := d.pool()
	if err != nil {
		return []check{failed("indexes", err)}
	}
	defer func() { _ = db.Close() }()
	indexes, columns, err := expected(files)
	if err != nil {
		return []check{failed("indexes", err)}
	}
	if !d.postgres() {
		return []check{missing(ctx, db, "indexes", `SELECT name FROM sqlite_master WHERE type = 'index'`, indexes, "indexes are missing")}
	}
	return []check{
		missing(ctx, db, "indexes", `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			WHERE i.indisvalid AND i.indisready AND pg_table_is_visible(i.indrelid)`, indexes, "indexes are missing or not valid"),
		missing(ctx, db, "collation", `SELECT c.relname || '.' || a.attname FROM pg_attribute a
			JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation o ON o.oid = a.attcollation
			WHERE o.collname = 'C' AND pg_table_is_visible(c.oid)`, columns, `columns do not have the collation "C"`),
		clock(ctx, db, now),
	}
}

// pool opens the database beside the store, which shows no SQL.
func (d *database) pool() (*sql.DB, fs.FS, error) {
	if d.postgres() {
		config, err := pgx.ParseConfig(d.name())
		if err != nil {
			return nil, nil, fmt.Errorf("not a URL of PostgreSQL: %w", lanyard.ErrUnavailable)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeExec // also through a pooler
		return stdlib.OpenDB(*config), migrations.Postgres(), nil
	}
	path, err := filepath.Abs(d.name())
	if err != nil {
		return nil, nil, err
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": {"query_only(1)", "busy_timeout(5000)"}}.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, nil, err
	}
	return sql.OpenDB(connector), migrations.SQLite(), nil
}

// count counts the rows of a table, for a progress bar.
func (d *database) count(ctx context.Context, table string) (n int, err error) {
	db, _, err := d.pool()
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		return 0, unanswered(err)
	}
	return n, nil
}

// missing looks for what is not among the names that query finds.
func missing(ctx context.Context, db *sql.DB, name, query string, want []string, what string) check {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return failed(name, unanswered(err))
	}
	defer func() { _ = rows.Close() }()
	there := map[string]bool{}
	for rows.Next() {
		var found string
		if err := rows.Scan(&found); err != nil {
			return failed(name, unanswered(err))
		}
		there[found] = true
	}
	if err := rows.Err(); err != nil {
		return failed(name, unanswered(err))
	}
	var gone []string
	for _, w := range want {
		if !there[w] {
			gone = append(gone, w)
		}
	}
	return found(name, gone, fmt.Sprintf("all %d are as they should be", len(want)), what)
}

// clock compares the server's clock with this one, at the middle of the time
// it took to ask.
func clock(ctx context.Context, db *sql.DB, now func() time.Time) check {
	const name = "clock"
	var micros int64
	asked := now()
	err := db.QueryRowContext(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&micros)
	if err != nil {
		return failed(name, unanswered(err))
	}
	took := now().Sub(asked)
	skew := time.UnixMicro(micros).Sub(asked.Add(took / 2)).Round(time.Millisecond)
	c := check{Name: name, Status: statusOK, Detail: fmt.Sprintf("the server's is %s from this one", skew)}
	if skew.Abs() > maxSkew {
		c.Status = statusProblem
	}
	return c
}

// unanswered keeps the driver's words, which may hold an address, to itself.
func unanswered(err error) error {
	var pg interface{ SQLState() string }
	if errors.As(err, &pg) {
		return fmt.Errorf("%w: SQLSTATE %s", lanyard.ErrUnavailable, pg.SQLState())
	}
	return lanyard.ErrUnavailable
}
