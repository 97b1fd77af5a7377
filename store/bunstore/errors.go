package bunstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// ErrNotMigrated says that the database has no lanyard tables yet, or those of
// an older library: call Migrate. It is a [lanyard.ErrUnavailable].
var ErrNotMigrated = fmt.Errorf("the lanyard tables are missing or of an older library, call Migrate: %w", lanyard.ErrUnavailable)

// SchemaError says that the tables were migrated past what this library can
// work with. It is a [lanyard.ErrUnavailable]; only a newer library helps.
type SchemaError struct {
	MinReader int64 // the oldest library that can work with the tables
	Library   int64 // this one: its highest embedded migration
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("the lanyard tables need a library with migration %d, this one has %d", e.MinReader, e.Library)
}

// Is makes a SchemaError a [lanyard.ErrUnavailable].
func (e *SchemaError) Is(target error) bool { return target == lanyard.ErrUnavailable }

// What serverSays finds besides the errors a caller may see.
var (
	errRetry   = errors.New("the transaction lost a race and can be tried again")
	errNoTable = errors.New("a table or a column may be missing")
)

// What a statement that touched no row means, inside this package.
var (
	errEpochs    = errors.New("a row of lanyard_epochs is missing")
	errUnchanged = errors.New("there was nothing to change")
)

// outcomes are the errors a caller may see, the narrow before the wide, and
// what a span calls them.
var outcomes = []struct {
	err  error
	name string
}{
	{store.ErrOwnerKeyGone, "owner_key_gone"},
	{lanyard.ErrNotFound, "not_found"},
	{lanyard.ErrExists, "exists"},
	{lanyard.ErrConflict, "conflict"},
	{lanyard.ErrLimit, "limit"},
	{store.ErrDamaged, "damaged"},
	{lanyard.ErrUnavailable, "unavailable"},
	{lanyard.ErrClosed, "closed"},
}

// outcome names err for a span; ok is false for an error that is not one of
// lanyard's.
func outcome(err error) (name string, ok bool) {
	if err == nil {
		return "ok", true
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name, true
		}
	}
	var input *lanyard.InputError
	if errors.As(err, &input) {
		return "invalid", true
	}
	return "unavailable", false
}

// translate turns whatever happened into an error a caller may see.
func (s *Store) translate(ctx context.Context, err error) error {
	if errors.Is(err, store.ErrDamaged) { // without the name of the column
		return store.ErrDamaged
	}
	if _, ours := outcome(err); ours {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return lanyard.ErrNotFound
	}
	if s.closed.Load() {
		return lanyard.ErrClosed
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, cause)
	}
	switch meaning := serverSays(err); {
	case errors.Is(meaning, errNoTable):
		if behind, err := s.behind(ctx); err == nil && behind {
			return ErrNotMigrated
		}
	case meaning != nil && !errors.Is(meaning, errRetry):
		return meaning
	}
	return unavailable(err)
}

// unavailable is an ErrUnavailable that keeps of err what says where to look
// and cannot hold a value: a code, or what the operating system said.
func unavailable(err error) error {
	var (
		pg    interface{ SQLState() string }
		lite  interface{ Code() int }
		errno syscall.Errno
		dns   *net.DNSError
		slow  net.Error
	)
	switch {
	case errors.As(err, &pg):
		return fmt.Errorf("%w: SQLSTATE %s", lanyard.ErrUnavailable, pg.SQLState())
	case errors.As(err, &lite):
		return fmt.Errorf("%w: SQLite result code %d", lanyard.ErrUnavailable, lite.Code())
	case errors.As(err, &errno):
		return fmt.Errorf("%w: %s", lanyard.ErrUnavailable, errno.Error())
	case errors.As(err, &dns):
		return fmt.Errorf("%w: the name of the server does not resolve", lanyard.ErrUnavailable)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return fmt.Errorf("%w: timeout", lanyard.ErrUnavailable)
	}
	return lanyard.ErrUnavailable
}
