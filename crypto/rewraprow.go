package crypto

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// rewrapTries bounds how often one row is begun again because somebody else
// changed it.
const rewrapTries = 5

// rewrapOutcome is what became of one row.
type rewrapOutcome int

const (
	rewrapUntried rewrapOutcome = iota
	rewrapMoved
	rewrapCurrent
	rewrapRaced
	rewrapFailed
	rewrapStopped // the run cannot go on
)

type rewrapStep struct {
	outcome rewrapOutcome
	version string // of the newest key, where the row is under it now
	err     error
}

// unavailable reports whether a key service did not say.
func (s rewrapStep) unavailable() bool {
	return s.outcome == rewrapFailed && errors.Is(s.err, lanyard.ErrUnavailable)
}

// row brings one owner key under the newest key, unless it is there. answer is
// the key service's own, where it gave one.
func (r *rewrapping) row(ctx context.Context, row store.OwnerKey, answer *RewrapResult) (step rewrapStep) {
	// A plug-in's panic on a goroutine of ours would end the host's process.
	var panicked error
	defer func() {
		if panicked != nil {
			step = failedStep(ctx, row, panicked)
		}
	}()
	defer r.recoverPanic(ctx, &panicked)

	newest, raced := r.report.KeyVersion, false
	for range rewrapTries {
		w, err := r.newest(ctx, row, answer, newest)
		if err != nil {
			return failedStep(ctx, row, err)
		}
		if row.Secrets == r.current.name && row.KeyVersion == w.KeyVersion {
			if raced {
				return rewrapStep{outcome: rewrapRaced, version: w.KeyVersion}
			}
			return rewrapStep{outcome: rewrapCurrent, version: w.KeyVersion}
		}
		if r.options.DryRun {
			return rewrapStep{outcome: rewrapMoved, version: w.KeyVersion}
		}
		step, lost := r.write(ctx, row, w)
		if !lost {
			return step
		}
		// Somebody else was faster: look at what he made of it.
		again, err := r.keys.OwnerKey(ctx, row.Owner)
		switch {
		case errors.Is(err, lanyard.ErrNotFound), err == nil && again.ID != row.ID:
			return rewrapStep{outcome: rewrapRaced}
		case err != nil:
			return rewrapStep{outcome: rewrapStopped, err: fmt.Errorf("read owner key %s: %w", row.ID, err)}
		}
		row, answer, newest, raced = again, nil, w.KeyVersion, true
	}
	return failedStep(ctx, row, fmt.Errorf("owner key %s: others keep changing it: %w", row.ID, lanyard.ErrConflict))
}

// failedStep is the outcome of a row that could not be rewrapped. If ctx ended,
// that says nothing about the row.
func failedStep(ctx context.Context, row store.OwnerKey, err error) rewrapStep {
	if cause := ctx.Err(); cause != nil {
		return rewrapStep{outcome: rewrapStopped, err: fmt.Errorf("owner key %s: %w", row.ID, gaveUp(cause))}
	}
	return rewrapStep{outcome: rewrapFailed, err: err}
}

// newest returns the row's key wrapped by the newest key, seen to open. It is
// the ciphertext of the row where that is so already. In a dry run only the
// version is the newest one's.
func (r *rewrapping) newest(ctx context.Context, row store.OwnerKey, answer *RewrapResult, version string) (Wrapped, error) {
	here := answer == nil || answer.Err != nil
	if answer != nil && errors.Is(answer.Err, lanyard.ErrUnavailable) && !errors.Is(answer.Err, ErrDenied) {
		return Wrapped{}, fmt.Errorf("owner key %s: %w", row.ID, answer.Err)
	}
	if !here && answer.Wrapped.KeyVersion != row.KeyVersion && !r.options.DryRun {
		moved := row
		moved.KeyVersion, moved.Wrapped = answer.Wrapped.KeyVersion, answer.Wrapped.Ciphertext
		raw, err := r.unwrapRow(ctx, row.Owner, moved)
		clear(raw)
		return answer.Wrapped, err
	}

	// What the service would not rewrap may still open, and if it does not,
	// this tells why.
	raw, err := r.unwrapRow(ctx, row.Owner, row)
	if err != nil {
		return Wrapped{}, err
	}
	defer clear(raw)
	switch {
	case !here && r.options.DryRun:
		return Wrapped{KeyVersion: answer.Wrapped.KeyVersion}, nil
	case !here, row.Secrets == r.current.name && row.KeyVersion == version:
		return wrappedOf(row), nil
	case r.options.DryRun:
		return Wrapped{KeyVersion: version}, nil
	}
	w, err := r.current.wrapProven(ctx, raw, ownerKeyBinding(row.Owner, row.ID))
	if err != nil {
		return Wrapped{}, fmt.Errorf("owner key %s: %w", row.ID, err)
	}
	return w, nil
}

// write puts w in the place of what was read, and reads it back. lost says
// that the row is not the one that was read any more.
func (r *rewrapping) write(ctx context.Context, row store.OwnerKey, w Wrapped) (step rewrapStep, lost bool) {
	next := row
	next.Secrets, next.KeyVersion, next.Wrapped = r.current.name, w.KeyVersion, w.Ciphertext
	err := r.store.RewrapOwnerKey(ctx, next)
	var input *lanyard.InputError
	switch {
	case errors.As(err, &input): // the store does not take this row, and it alone
		return failedStep(ctx, row, fmt.Errorf("write owner key %s: %w", row.ID, err)), false
	case errors.Is(err, lanyard.ErrConflict):
		return rewrapStep{}, true
	case errors.Is(err, lanyard.ErrNotFound): // erased
		return rewrapStep{outcome: rewrapRaced}, false
	case err != nil:
		return rewrapStep{outcome: rewrapStopped, err: fmt.Errorf("write owner key %s: %w", row.ID, err)}, false
	}
	stored, err := r.keys.OwnerKey(ctx, row.Owner)
	switch {
	case errors.Is(err, lanyard.ErrNotFound), err == nil && (stored.ID != row.ID || stored.Version > row.Version+1):
		// Erased or rewrapped again since: what was written is nobody's business any more.
	case err != nil:
		return rewrapStep{outcome: rewrapStopped, err: fmt.Errorf("read owner key %s back: %w", row.ID, err)}, false
	case stored.Secrets != next.Secrets || stored.KeyVersion != next.KeyVersion || !bytes.Equal(stored.Wrapped, next.Wrapped):
		// A store that spoils what it keeps must not be given more.
		return rewrapStep{outcome: rewrapStopped, err: fmt.Errorf("owner key %s was not stored as it was written: %w", row.ID, ErrIntegrity)}, false
	}
	return rewrapStep{outcome: rewrapMoved, version: w.KeyVersion}, false
}

func wrappedOf(row store.OwnerKey) Wrapped {
	return Wrapped{KeyVersion: row.KeyVersion, Ciphertext: row.Wrapped}
}
