package bunstore

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// A transaction that lost a race (a deadlock, a serialization failure on a
// host's pool) runs again, after up to retryPause times the attempt.
const (
	attempts   = 5
	retryPause = 20 * time.Millisecond
)

// turnTimeout is how long a writer waits for the others of his process, as long
// as package sqlite waits for another process.
const turnTimeout = 5 * time.Second

// transact runs fn in a transaction and commits it, again where the database
// says that it lost a race.
func (s *Store) transact(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.transactOnce(ctx, fn)
		if attempt == attempts || !errors.Is(serverSays(err), errRetry) {
			return err
		}
		pause := time.NewTimer(rand.N(time.Duration(attempt) * retryPause))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

func (s *Store) transactOnce(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
	if s.writers != nil { // queue here rather than at the file, where nobody is in turn
		if err := s.awaitTurn(ctx); err != nil {
			return err
		}
		defer func() { <-s.writers }()
	}
	// What is counted under a lock must be what is committed when the lock is
	// taken: under a stricter level it would be what was there before the wait.
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := fn(ctx, tx); err != nil {
		return err
	}
	err = tx.Commit()
	if err == nil || serverSays(err) != nil {
		return err // the database itself says what became of it
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, cause)
	}
	return unavailable(err)
}

// awaitTurn waits until no other call of this process writes, though no longer
// than turnTimeout: behind another process that keeps the file, each would wait
// for all before him.
func (s *Store) awaitTurn(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	select {
	case s.writers <- struct{}{}:
		return nil
	case <-waiting.Done():
		return waiting.Err()
	}
}

// writeEpochs begins a transaction that changes what a verification reads: it
// writes a fresh number to each shard, in ascending order.
func (s *Store) writeEpochs(ctx context.Context, tx bun.Tx, shards ...int) error {
	slices.Sort(shards)
	for _, shard := range slices.Compact(shards) {
		var fresh [8]byte
		_, _ = crand.Read(fresh[:]) // never fails
		res, err := tx.NewUpdate().Model((*epochRow)(nil)).
			Set("epoch = ?", int64(binary.NativeEndian.Uint64(fresh[:]))).
			Where("shard = ?", shard).
			Exec(ctx)
		if err := one(res, err, errEpochs); err != nil {
			return err
		}
	}
	return nil
}

// lockShard begins a transaction that counts a limit.
func (s *Store) lockShard(ctx context.Context, tx bun.Tx, owner lanyard.Owner) error {
	res, err := tx.ExecContext(ctx, s.dialect.lockShard, store.Shard(owner))
	return one(res, err, errEpochs)
}

// one returns err, or none where a statement touched no row.
func one(res sql.Result, err, none error) error {
	if err != nil {
		return err
	}
	switch n, err := res.RowsAffected(); {
	case err != nil:
		return err
	case n == 0:
		return none
	}
	return nil
}

// swapped ends a compare-and-swap: where it touched no row, current tells a
// record of another version, which is a conflict, from one that is not there.
func swapped(ctx context.Context, res sql.Result, err error, current *bun.SelectQuery) error {
	if err := one(res, err, lanyard.ErrConflict); !errors.Is(err, lanyard.ErrConflict) {
		return err
	}
	switch found, err := current.Exists(ctx); {
	case err != nil:
		return err
	case found:
		return lanyard.ErrConflict
	}
	return lanyard.ErrNotFound
}

// within returns ErrLimit where more rows are counted than limit allows; below
// 0 there is no limit.
func within(ctx context.Context, limit int, counted *bun.SelectQuery) error {
	if limit < 0 {
		return nil
	}
	switch n, err := counted.Count(ctx); {
	case err != nil:
		return err
	case n > int64(limit):
		return lanyard.ErrLimit
	}
	return nil
}

// owned narrows a statement to the records of owner.
func owned(owner lanyard.Owner) func(bun.QueryBuilder) bun.QueryBuilder {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		return q.Where("tenant = ?", owner.Tenant).Where("subject = ?", owner.Subject)
	}
}

// ownedID narrows a statement to one record of owner.
func ownedID(owner lanyard.Owner, id string) func(bun.QueryBuilder) bun.QueryBuilder {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		return owned(owner)(q).Where("id = ?", id)
	}
}
