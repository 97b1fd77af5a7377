package apikey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

const (
	signPage    = 500 // keys read at once
	historyPage = 500 // events
)

// Why SignAll leaves a row unsigned, besides [ErrDeleted]. Both are a
// [lanyard.ErrForbidden].
var (
	// ErrMadeLater says that the key was made after SignAllOptions.Before.
	ErrMadeLater = fmt.Errorf("the key was made after the time until which keys are signed: %w", lanyard.ErrForbidden)

	// ErrNoHistory says that its owner's history does not tell how the key was
	// made.
	ErrNoHistory = fmt.Errorf("the history does not tell how the key was made: %w", lanyard.ErrForbidden)
)

// SignAllOptions says which rows [Service.SignAll] may believe.
type SignAllOptions struct {
	// Before is when the last process without a Sealer ended: only keys that
	// were made before it are signed. Required, and not in the future.
	Before time.Time

	// HistorySince is where the history begins, because older events were
	// purged: a key that was made before it is signed although no event tells of
	// that. Defaults to a whole history, in which every key has to be found.
	HistorySince time.Time

	// After goes on behind the key of that id, as [SignAllReport] names it.
	// Defaults to the beginning.
	After string

	// DryRun looks at every row and changes none. Defaults to false.
	DryRun bool

	// Progress, where set, hears the report so far after each page, from the
	// goroutine that called SignAll. It must not change it.
	Progress func(SignAllReport)
}

// SignAllReport is what one run of [Service.SignAll] found and did.
type SignAllReport struct {
	// Signed names the keys that were signed, or would be, in the order of
	// ids. Unwitnessed are those of them that were made before HistorySince and
	// that no event tells of: look at these before you trust them.
	Signed, Unwitnessed []string

	// Refused names the keys that stay unsigned, and so are refused by Verify.
	Refused []SignRefusal

	// Raced counts keys that somebody else signed, deleted or changed.
	Raced int

	// Done says that the end of the table was reached. Where it was not, After
	// is what [SignAllOptions] wants to go on.
	Done  bool
	After string
}

// SignRefusal is one key that SignAll did not sign: Err is ErrDeleted,
// ErrMadeLater or ErrNoHistory.
type SignRefusal struct {
	KeyID string
	Err   error
}

// SignAll signs the rows of keys that were made before the host had a Sealer,
// which are refused until then. Any number of runs may work at once, and one may
// be repeated: it finds what is still unsigned.
//
// An unsigned row proves nothing, so SignAll is the one moment at which the
// tables are believed. It believes what the row of a live key says of its owner,
// hash, scopes and expiry. It does not believe that the key should be there; for
// that the owner's history must show, all of it,
//
//   - that the key was made, at the time its row says, or was imported;
//   - that it was not deleted since. A key that an operator deleted has no MAC,
//     so who clears deleted_at in the table gets a row like any unsigned one.
//
// So who could write both tables before the run, or change a live key's scopes,
// is believed; who could write only the table of keys cannot add a key or bring
// one back. Run it once, dry first, right after the last process without a
// Sealer has ended, and treat later alarms as what they are: no row becomes
// unsigned by itself. Give Before no later than needed, and HistorySince only
// if history was purged.
//
// It returns an *lanyard.InputError without a Sealer or a good Before. Any other
// error means that the run ended early; the report holds what was done until
// then. m is a role of the store that the Service has.
func (s *Service) SignAll(ctx context.Context, m store.Maintenance, o *SignAllOptions) (report SignAllReport, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.SignAll")
	defer end(&err)
	if s.closed.Load() {
		return SignAllReport{}, errClosed
	}
	r := &signing{Service: s, table: m}
	if o != nil {
		r.options = *o
		r.options.Before = store.Instant(o.Before)
	}
	if err := r.check(); err != nil {
		return SignAllReport{}, fmt.Errorf("apikey: sign all: %w", err)
	}
	if err := r.run(ctx); err != nil {
		return r.report, fmt.Errorf("apikey: sign all: %w", err)
	}
	return r.report, nil
}

// signing is one run of SignAll.
type signing struct {
	*Service
	table   store.Maintenance
	options SignAllOptions
	report  SignAllReport
}

func (r *signing) check() error {
	switch {
	case r.sealer == nil:
		return &lanyard.InputError{Field: "sealer", Code: lanyard.CodeRequired, Message: "without a Sealer there is nothing to sign with"}
	case r.options.Before.IsZero():
		return &lanyard.InputError{Field: "before", Code: lanyard.CodeRequired, Message: "say until when keys were made without a Sealer"}
	case r.options.Before.After(r.now()):
		return &lanyard.InputError{Field: "before", Code: lanyard.CodeInvalid, Message: "the time lies in the future"}
	}
	return nil
}

func (r *signing) run(ctx context.Context) error {
	r.report.After = r.options.After
	for !r.report.Done {
		keys, err := r.table.UnsignedAPIKeys(ctx, r.report.After, signPage)
		if err != nil {
			return err
		}
		told, err := r.histories(ctx, keys)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if found := r.examine(k, told[k.ID]); found.against != nil {
				r.report.Refused = append(r.report.Refused, SignRefusal{KeyID: k.ID, Err: found.against})
			} else if err := r.signRow(ctx, k, found.witnessed); err != nil {
				return err
			}
			r.report.After = k.ID
		}
		r.report.Done = len(keys) < signPage
		if r.options.Progress != nil {
			r.options.Progress(r.report)
		}
	}
	return nil
}

// signRow signs a row that may be.
func (r *signing) signRow(ctx context.Context, k store.APIKey, witnessed bool) error {
	if !r.options.DryRun {
		// What is signed is what was looked at: a row that somebody changes
		// meanwhile has another version, or a MAC that does not fit.
		if err := r.sign(ctx, &k); err != nil {
			return err
		}
		err := r.table.SignAPIKey(ctx, k)
		if errors.Is(err, lanyard.ErrConflict) || errors.Is(err, lanyard.ErrNotFound) {
			r.report.Raced++
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.report.Signed = append(r.report.Signed, k.ID)
	if !witnessed {
		r.report.Unwitnessed = append(r.report.Unwitnessed, k.ID)
	}
	return nil
}

// finding is whether a row may be signed.
type finding struct {
	witnessed bool  // the history tells how the key was made
	against   error // why the row is not signed; nil = nothing
}

func (r *signing) examine(k store.APIKey, told keyHistory) finding {
	switch {
	case told.deleted:
		return finding{against: ErrDeleted}
	case !k.CreatedAt.Before(r.options.Before):
		return finding{against: ErrMadeLater}
	case told.imported || told.made.Equal(k.CreatedAt):
		return finding{witnessed: true}
	case told.made.IsZero() && k.CreatedAt.Before(r.options.HistorySince):
		return finding{}
	}
	return finding{against: ErrNoHistory}
}

// keyHistory is what an owner's history tells of one key.
type keyHistory struct {
	made     time.Time // zero = it does not say
	imported bool      // and so is older than its event
	deleted  bool
}

// histories reads what the histories of their owners tell of keys.
func (r *signing) histories(ctx context.Context, keys []store.APIKey) (map[string]keyHistory, error) {
	told := make(map[string]keyHistory)
	owners := make(map[lanyard.Owner]map[string]bool) // the keys of each that are asked about
	for _, k := range keys {
		if owners[k.Owner] == nil {
			owners[k.Owner] = make(map[string]bool)
		}
		owners[k.Owner][k.ID] = true
	}
	for owner, asked := range owners {
		var after store.EventCursor
		for more := true; more; {
			events, err := r.store.Events(ctx, owner, after, historyPage)
			if err != nil {
				return nil, err
			}
			for _, e := range events {
				note(told, asked, e)
				after = store.EventCursor{At: e.At, ID: e.ID}
			}
			more = len(events) == historyPage
		}
	}
	return told, nil
}

// note adds what e tells of the keys that are asked about.
func note(told map[string]keyHistory, asked map[string]bool, e lanyard.Event) {
	id := e.Object
	if e.Action == ActionRotated {
		id = e.Detail[DetailSuccessor]
	}
	if !asked[id] {
		return
	}
	h := told[id]
	switch e.Action {
	case ActionCreated, ActionRotated:
		h.made = e.At
	case ActionImported:
		h.imported = true
	case ActionDeleted, ActionLeaked, ActionUsedAfterDelete:
		h.deleted = true
	}
	told[id] = h
}
