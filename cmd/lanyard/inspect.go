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
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	sqlite "modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore/migrations"
)

// maxSkew is how far the database's clock may be from this one. What expires
// does so by the clock of the process that looks.
const maxSkew = 5 * time.Second

// connectTimeout is that of package postgres.
const connectTimeout = 5 * time.Second

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

// inspect looks at what the store takes for granted: its indexes, constraints and
// epochs, and on PostgreSQL the collation of its keys and the clock.
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
	rules, err := rules(ctx)
	if err != nil {
		return []check{failed("constraints", err)}
	}
	shards := make([]string, store.Shards)
	for i := range shards {
		shards[i] = strconv.Itoa(i)
	}
	epochs := missing(ctx, db, "epochs", `SELECT CAST(shard AS text) FROM lanyard_epochs`, shards,
		"shards have no epoch: the API keys in them are refused; INSERT INTO lanyard_epochs (shard, epoch) VALUES (SHARD, 0)")
	if !d.postgres() {
		return []check{
			missing(ctx, db, "indexes", `SELECT name FROM sqlite_master WHERE type = 'index'`, indexes, "indexes are missing"),
			missing(ctx, db, "constraints", sqliteRules, rules, rulesMissing),
			epochs,
		}
	}
	return []check{
		epochs,
		missing(ctx, db, "constraints", postgresRules, rules, rulesMissing),
		missing(ctx, db, "indexes", `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			WHERE i.indisvalid AND i.indisready AND pg_table_is_visible(i.indrelid)`, indexes, "indexes are missing or not valid"),
		missing(ctx, db, "collation", `SELECT c.relname || '.' || a.attname FROM pg_attribute a
			JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation o ON o.oid = a.attcollation
			WHERE o.collname = 'C' AND pg_table_is_visible(c.oid)`, columns, `columns do not have the collation "C"`),
		clock(ctx, db, now),
	}
}

const rulesMissing = "constraints are missing or others: two owners' rows may have mixed"

// sqliteRules finds primary and foreign keys and what is unique, written as
// PostgreSQL does.
const sqliteRules = `
	SELECT t.name || ' ' || CASE i.origin WHEN 'pk' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' ELSE 'UNIQUE INDEX ' || i.name END
		|| ' (' || (SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)) || ')'
	FROM sqlite_master AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND i."unique"
	UNION ALL
	SELECT t.name || ' PRIMARY KEY (' || c.name || ')' FROM sqlite_master AS t, pragma_table_info(t.name) AS c
	WHERE t.type = 'table' AND c.pk = 1 AND c.type = 'INTEGER'
	UNION ALL
	SELECT name || ' FOREIGN KEY (' || group_concat("from", ', ') || ') REFERENCES ' || "table" || '(' || group_concat("to", ', ') || ') ON DELETE ' || on_delete
	FROM (SELECT t.name, f.* FROM sqlite_master AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table' ORDER BY t.name, f.id, f.seq)
	GROUP BY name, id`

// postgresRules finds the same. One that is not valid has another text.
const postgresRules = `
	SELECT t.relname || ' ' || pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
	WHERE c.contype IN ('p', 'u', 'f') AND pg_table_is_visible(t.oid)
	UNION ALL
	SELECT t.relname || ' UNIQUE INDEX ' || n.relname || ' ('
		|| (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) AS k) || ')'
	FROM pg_index i JOIN pg_class n ON n.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
	WHERE i.indisunique AND i.indisvalid AND pg_table_is_visible(t.oid)
		AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))`

// rules are what the migrations make, on either database: they are run on a
// SQLite of their own, in memory.
func rules(ctx context.Context) ([]string, error) {
	connector, err := sqlite.NewConnector(":memory:")
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // each would have a database of its own
	names, err := fs.Glob(migrations.SQLite(), "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := fs.ReadFile(migrations.SQLite(), name)
		if err != nil {
			return nil, err
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		if _, err := db.ExecContext(ctx, up); err != nil {
			return nil, err
		}
	}
	return column(ctx, db, sqliteRules)
}

// column returns what a query finds.
func column(ctx context.Context, db *sql.DB, query string) ([]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, unanswered(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, unanswered(err)
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil {
		return nil, unanswered(err)
	}
	return all, nil
}

// pool opens the database beside the store, which shows no SQL.
func (d *database) pool() (*sql.DB, fs.FS, error) {
	if d.postgres() {
		config, err := pgx.ParseConfig(d.name())
		if err != nil {
			return nil, nil, fmt.Errorf("not a URL of PostgreSQL: %w", lanyard.ErrUnavailable)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeExec // also through a pooler
		if config.ConnectTimeout == 0 {
			config.ConnectTimeout = connectTimeout
		}
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
	there, err := column(ctx, db, query)
	if err != nil {
		return unopened(name, 0, err)
	}
	var gone []string
	for _, w := range want {
		if !slices.Contains(there, w) {
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
		return unopened(name, 0, unanswered(err))
	}
	took := now().Sub(asked)
	skew := time.UnixMicro(micros).Sub(asked.Add(took / 2)).Round(time.Millisecond)
	c := check{Name: name, Status: statusOK, Detail: fmt.Sprintf("the server's is %s from this one", skew)}
	if skew.Abs() > maxSkew {
		c.Status = statusProblem
	}
	return c
}

// silent reports whether the server of the database says nothing, or nothing but
// that it is not ready. A file is there or is not.
func (d *database) silent(ctx context.Context) bool {
	if !d.postgres() {
		return false
	}
	db, _, err := d.pool()
	if err != nil {
		return false
	}
	defer func() { _ = db.Close() }()
	err = db.PingContext(ctx)
	return err != nil && errors.Is(unanswered(err), lanyard.ErrUnavailable)
}

// unanswered keeps the driver's words, which may hold an address, to itself. It is
// a lanyard.ErrUnavailable unless the server did answer, with what has to be
// mended: classes 08, 53 and 57 of PostgreSQL's codes pass (its manual, appendix A).
func unanswered(err error) error {
	var pg interface{ SQLState() string }
	if !errors.As(err, &pg) {
		return lanyard.ErrUnavailable
	}
	for _, class := range []string{"08", "53", "57"} {
		if strings.HasPrefix(pg.SQLState(), class) {
			return fmt.Errorf("%w: SQLSTATE %s", lanyard.ErrUnavailable, pg.SQLState())
		}
	}
	return fmt.Errorf("the database refuses: SQLSTATE %s", pg.SQLState())
}
