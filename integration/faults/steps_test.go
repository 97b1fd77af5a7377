package faults_test

import (
	"context"
	"database/sql/driver"
	"regexp"
	"strings"
	"sync"
)

// steps is a connector that stops before and after each thing its connections
// are asked to do, and lets a test act there.
type steps struct {
	driver.Connector

	mu   sync.Mutex
	hook func(ctx context.Context, at step) error
}

// step is one moment: "before" or "after", and what: CONNECT, BEGIN, COMMIT,
// ROLLBACK, PREPARE, or the verb of a statement and its first table.
type step struct{ when, what string }

func (s step) String() string { return s.when + " " + s.what }

// at makes hook hear of every step; what it returns, the caller gets. nil ends
// that.
func (s *steps) at(hook func(ctx context.Context, at step) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// ours marks a call, so that its steps can be told from those of what goes on in
// the background.
func ours(ctx context.Context) context.Context { return context.WithValue(ctx, oursKey{}, true) }

func isOurs(ctx context.Context) bool { return ctx.Value(oursKey{}) != nil }

type oursKey struct{}

// nth makes act run at the nth step of our call from now, and returns which it
// was, if it came.
func (s *steps) nth(n int, act func(context.Context) error) (came func() step) {
	var (
		mu   sync.Mutex
		seen int
		at   step
	)
	s.at(func(ctx context.Context, step step) error {
		if !isOurs(ctx) {
			return nil
		}
		mu.Lock()
		seen++
		now := seen == n
		if now {
			at = step
		}
		mu.Unlock()
		if now {
			return act(ctx)
		}
		return nil
	})
	return func() step {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
}

// take does one thing between its two steps. What was got and cannot be handed
// on is undone.
func take[T any](ctx context.Context, s *steps, what string, do func() (T, error), undo func(T) error) (T, error) {
	var none T
	if err := s.stop(ctx, step{"before", what}); err != nil {
		return none, err
	}
	got, err := do()
	if err != nil {
		return none, err
	}
	if err := s.stop(ctx, step{"after", what}); err != nil {
		if undo != nil {
			_ = undo(got)
		}
		return none, err
	}
	return got, nil
}

func (s *steps) stop(ctx context.Context, at step) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx, at)
}

var table = regexp.MustCompile(`lanyard_\w+`)

// name says what a statement does without its values.
func name(statement string) string {
	verb, _, _ := strings.Cut(strings.TrimSpace(statement), " ")
	return strings.TrimSpace(strings.ToUpper(verb) + " " + table.FindString(statement))
}

// Connect implements [driver.Connector].
func (s *steps) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := take(ctx, s, "CONNECT", func() (driver.Conn, error) { return s.Connector.Connect(ctx) }, driver.Conn.Close)
	if err != nil {
		return nil, err
	}
	return &steppedConn{Conn: c, steps: s}, nil
}

type steppedConn struct {
	driver.Conn
	steps *steps
}

func (c *steppedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return take(ctx, c.steps, name(query), func() (driver.Result, error) {
		return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	}, nil)
}

func (c *steppedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return take(ctx, c.steps, name(query), func() (driver.Rows, error) {
		return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	}, driver.Rows.Close)
}

func (c *steppedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := take(ctx, c.steps, "PREPARE", func() (driver.Stmt, error) {
		return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	}, driver.Stmt.Close)
	if err != nil {
		return nil, err
	}
	return &steppedStmt{Stmt: stmt, steps: c.steps, name: name(query)}, nil
}

func (c *steppedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := take(ctx, c.steps, "BEGIN", func() (driver.Tx, error) {
		return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	}, driver.Tx.Rollback)
	if err != nil {
		return nil, err
	}
	return &steppedTx{Tx: tx, ctx: ctx, steps: c.steps}, nil
}

func (c *steppedConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *steppedConn) IsValid() bool {
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *steppedConn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type steppedStmt struct {
	driver.Stmt
	steps *steps
	name  string
}

func (s *steppedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return take(ctx, s.steps, s.name, func() (driver.Rows, error) {
		return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	}, driver.Rows.Close)
}

type steppedTx struct {
	driver.Tx
	ctx   context.Context //nolint:containedctx // driver.Tx takes none, and a hook wants that of the transaction
	steps *steps
}

func (t *steppedTx) Commit() error {
	_, err := take(t.ctx, t.steps, "COMMIT", func() (struct{}, error) { return struct{}{}, t.Tx.Commit() }, nil)
	return err
}

func (t *steppedTx) Rollback() error {
	_, err := take(t.ctx, t.steps, "ROLLBACK", func() (struct{}, error) { return struct{}{}, t.Tx.Rollback() }, nil)
	return err
}
