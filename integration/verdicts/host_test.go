package verdicts_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// hostVariable makes this binary a host: a process with one Service. It holds
// a hostOrder in JSON. The host takes commands on its standard input and
// answers each, in no order; it ends when its input does.
const hostVariable = "LANYARD_TEST_HOST"

// database is where hosts have their data.
type database struct {
	SQLite   string // the file, or
	Postgres string // the URL
}

type hostOrder struct {
	Database database
	MaxStale time.Duration
	Limit    int
	Ailment  ailment
}

// command is one thing to do. Keys are those of the owner with that subject.
type command struct {
	N       int // of the answer
	Do      string
	Subject string
	ID      string
	Token   string
	Grace   time.Duration

	Tokens   []string // to watch, or to verify in that order; the ids to record a use of
	Every    time.Duration
	Patience time.Duration // of a verification
	Ailment  ailment
}

// answer says what came of a command.
type answer struct {
	N       int
	Call    int64 // when it was begun and when it was done, by monotonic
	Return  int64
	Result  result
	Error   string // where the result is a bad one
	ID      string
	Token   string
	Grace   int64 // when that of the rotated key ends, by monotonic
	Life    int64 // when that of the new key ends; 0 = never
	Watched []watched
	Keys    []apikey.Key
}

// result is what a call returned, in a word.
type result string

const (
	ok          result = "ok"
	refused     result = "refused"
	unavailable result = "unavailable"
	conflict    result = "conflict"
	expired     result = "expired"
	notFound    result = "not found"
	limited     result = "limit"
	bad         result = "bad"
)

func resultOf(err error) result {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, lanyard.ErrUnavailable):
		return unavailable
	case errors.Is(err, lanyard.ErrUnauthenticated):
		return refused
	case errors.Is(err, apikey.ErrExpired):
		return expired
	case errors.Is(err, lanyard.ErrConflict):
		return conflict
	case errors.Is(err, lanyard.ErrNotFound):
		return notFound
	case errors.Is(err, lanyard.ErrLimit):
		return limited
	}
	return bad
}

// watched is what a host saw of a token that it verified over and over.
type watched struct {
	Yes, No, Unavailable int
	LastYes              int64 // when the last verification was begun that said yes
	FirstNo              int64 // when the first was done that said no
	Error                string
}

// host is what a process has.
type host struct {
	keys  *apikey.Service
	store *ailing

	watching context.Context //nolint:containedctx // ends with the command "unwatch"
	unwatch  context.CancelFunc
	watchers sync.WaitGroup
	watched  []watched
}

// beHost is the whole process.
func beHost(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var order hostOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	st, err := order.Database.open(ctx)
	if err != nil {
		return err
	}
	h := &host{store: newAiling(st)}
	h.store.ail(order.Ailment)
	h.keys, err = apikey.NewService(h.store, &apikey.Options{MaxStale: order.MaxStale, Limit: order.Limit})
	if err != nil {
		return err
	}
	var (
		mu      sync.Mutex
		encoder = json.NewEncoder(out)
		running sync.WaitGroup
	)
	ctx, stop := context.WithCancel(ctx)
	for d := json.NewDecoder(in); ; {
		var c command
		if err = d.Decode(&c); err != nil {
			break
		}
		running.Go(func() {
			a := h.obey(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			_ = encoder.Encode(a)
		})
	}
	stop()
	running.Wait()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	h.store.ail(ailment{})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = h.keys.Close(closing) // a line that was cut takes the last uses along
	return errors.Join(err, st.Close())
}

type closable interface {
	store.Store
	store.Epochs
	Close() error
}

func (d database) open(ctx context.Context) (closable, error) {
	if d.SQLite != "" {
		return sqlite.Open(ctx, d.SQLite, nil)
	}
	return postgres.Open(ctx, d.Postgres, nil)
}

func ownerOf(subject string) lanyard.Owner { return lanyard.Owner{Tenant: "acme", Subject: subject} }

func (h *host) obey(ctx context.Context, c command) answer {
	a := answer{N: c.N}
	owner := ownerOf(c.Subject)
	var err error
	a.Call = monotonic()
	switch c.Do {
	case "create":
		var made apikey.Created
		made, err = h.keys.Create(ctx, owner, apikey.CreateRequest{Name: "key"})
		a.ID, a.Token = made.Key.ID, made.Secret.Reveal()
	case "rotate":
		var made apikey.Rotated
		made, err = h.keys.Rotate(ctx, owner, c.ID, apikey.RotateRequest{Grace: c.Grace})
		a.ID, a.Token, a.Grace = made.Key.ID, made.Secret.Reveal(), monotonic()+int64(time.Until(made.OldExpiresAt))
		if end := made.Key.ExpiresAt; !end.IsZero() {
			a.Life = monotonic() + int64(time.Until(end))
		}
	case "delete":
		err = h.keys.Delete(ctx, owner, c.ID, 0)
	case "rename":
		_, err = h.keys.Rename(ctx, owner, c.ID, 0, c.Token)
	case "verify":
		asking, cancel := context.WithTimeout(ctx, cmp.Or(c.Patience, time.Minute))
		_, err = h.keys.Verify(asking, c.Token)
		cancel()
	case "verify all":
		for _, token := range c.Tokens {
			if _, err = h.keys.Verify(ctx, token); err != nil {
				break
			}
		}
	case "list": // which stores the uses that were seen
		a.Keys, err = h.keys.Keys(ctx, owner)
	case "record":
		uses := make([]store.KeyUse, len(c.Tokens))
		for i, id := range c.Tokens {
			uses[i] = store.KeyUse{ID: id, At: time.Now()}
		}
		err = h.store.RecordKeyUse(ctx, uses)
	case "watch":
		h.watch(ctx, c)
	case "unwatch":
		h.unwatch()
		h.watchers.Wait()
		a.Watched = h.watched
	case "ail":
		h.store.ail(c.Ailment)
	default:
		err = fmt.Errorf("a host cannot %q", c.Do)
	}
	a.Return = monotonic()
	if a.Result = resultOf(err); a.Result == bad || a.Result == unavailable {
		a.Error = err.Error()
	}
	return a
}

// watch verifies each token over and over.
func (h *host) watch(ctx context.Context, c command) {
	h.watching, h.unwatch = context.WithCancel(ctx)
	h.watched = make([]watched, len(c.Tokens))
	for i, token := range c.Tokens {
		h.watchers.Go(func() { h.watchOne(h.watching, c, token, &h.watched[i]) })
	}
}

func (h *host) watchOne(ctx context.Context, c command, token string, w *watched) {
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking, cancel := context.WithTimeout(ctx, cmp.Or(c.Patience, time.Minute))
		called := monotonic()
		_, err := h.keys.Verify(asking, token)
		cancel()
		switch resultOf(err) {
		case ok:
			w.Yes++
			w.LastYes = called
		case refused:
			if w.No++; w.FirstNo == 0 {
				w.FirstNo = monotonic()
			}
		case unavailable:
			w.Unavailable++
		default:
			w.Error = err.Error()
		}
	}
}

// monotonic is the time by which processes of one machine are compared, in
// nanoseconds.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // POSIX has it everywhere
	}
	return now.Nano()
}
