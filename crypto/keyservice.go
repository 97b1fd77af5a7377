package crypto

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/aichub/lanyard"
)

// keyService is one Secrets as the Sealer calls it: counted and timed, not
// asked in vain, its answers not believed until they were checked, its errors
// reduced to ours.
type keyService struct {
	secrets   Secrets
	name      string
	telemetry *telemetry
	breaker   *breaker
	proof     bool // ask also while the service rests
}

// proving returns the key service for who wants to know whether it answers now.
func (v *keyService) proving() *keyService {
	own := *v
	own.proof = true
	return &own
}

// wrap has key wrapped. A malformed answer is an ErrUnavailable.
func (v *keyService) wrap(ctx context.Context, key, binding []byte) (Wrapped, error) {
	own := bytes.Clone(key)
	defer clear(own)
	var w Wrapped
	err := v.call(ctx, "Wrap", func(ctx context.Context) (err error) {
		w, err = v.secrets.Wrap(ctx, own, binding)
		if err == nil && !wellFormed(w) {
			err = lanyard.ErrUnavailable
		}
		return err
	})
	if err != nil {
		return Wrapped{}, err
	}
	return w, nil
}

// wellFormed reports whether w is what [Wrapped] says.
func wellFormed(w Wrapped) bool {
	return len(w.Ciphertext) > 0 && len(w.Ciphertext) <= MaxWrapped && validKeyID(w.KeyVersion)
}

// unwrap returns the key, which the caller wipes. A key of the wrong length is
// an ErrUnavailable.
func (v *keyService) unwrap(ctx context.Context, w Wrapped, binding []byte) ([]byte, error) {
	var key []byte
	err := v.call(ctx, "Unwrap", func(ctx context.Context) (err error) {
		key, err = v.secrets.Unwrap(ctx, w, binding)
		if err == nil && len(key) != KeySize {
			err = lanyard.ErrUnavailable
		}
		return err
	})
	if err != nil {
		clear(key)
		return nil, err
	}
	return key, nil
}

// rewrap has the items brought under the newest key, and answers each. A
// malformed answer is an ErrUnavailable.
func (v *keyService) rewrap(ctx context.Context, r Rewrapper, items []RewrapItem) []RewrapResult {
	own := make([]RewrapItem, len(items))
	for i, it := range items {
		own[i] = RewrapItem{
			Wrapped: Wrapped{KeyVersion: it.Wrapped.KeyVersion, Ciphertext: bytes.Clone(it.Wrapped.Ciphertext)},
			Binding: bytes.Clone(it.Binding),
		}
	}
	var answers []RewrapResult
	err := v.call(ctx, "RewrapBatch", func(ctx context.Context) (err error) {
		answers = r.Rewrap(ctx, own)
		if len(answers) != len(items) {
			return lanyard.ErrUnavailable
		}
		for i := range answers {
			if err = answers[i].Err; err == nil {
				return nil // to one at least it gave an answer
			}
		}
		return err
	})
	out := make([]RewrapResult, len(items))
	for i := range out {
		switch {
		case len(answers) != len(items):
			out[i].Err = err
		case answers[i].Err != nil:
			out[i].Err = fmt.Errorf("key service %q: %w", v.name, reduce(answers[i].Err))
		case !wellFormed(answers[i].Wrapped):
			out[i].Err = fmt.Errorf("key service %q: %w", v.name, lanyard.ErrUnavailable)
		default:
			out[i].Wrapped = answers[i].Wrapped
		}
	}
	return out
}

// wrapProven wraps key and believes it only after an unwrap has given the same
// key back, so that nothing is ever sealed with a key that cannot be had again.
func (v *keyService) wrapProven(ctx context.Context, key, binding []byte) (Wrapped, error) {
	w, err := v.wrap(ctx, key, binding)
	if err != nil {
		return Wrapped{}, err
	}
	back, err := v.unwrap(ctx, w, binding)
	defer clear(back)
	if err == nil && subtle.ConstantTimeCompare(back, key) == 1 {
		return w, nil
	}
	if errors.Is(err, lanyard.ErrUnavailable) {
		return Wrapped{}, err
	}
	return Wrapped{}, fmt.Errorf("key service %q does not give back what it wrapped: %w", v.name, lanyard.ErrUnavailable)
}

// proveBound expects an unwrap of w with a binding that is not its own to fail.
func (v *keyService) proveBound(ctx context.Context, w Wrapped, other []byte) error {
	key, err := v.unwrap(ctx, w, other)
	clear(key)
	switch {
	case err == nil:
		return fmt.Errorf("key service %q: %w", v.name, ErrUnbound)
	case errors.Is(err, ErrIntegrity):
		return nil
	case errors.Is(err, lanyard.ErrUnavailable):
		return err
	default:
		return fmt.Errorf("key service %q answers another binding with the wrong error: %w", v.name, lanyard.ErrUnavailable)
	}
}

// call runs one call of the plug-in.
func (v *keyService) call(ctx context.Context, operation string, fn func(context.Context) error) (err error) {
	ctx, end := v.telemetry.startCall(ctx, v.name, operation)
	defer func() { end(err) }()

	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	err = v.breaker.do(ctx, v.proof, fn)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errResting):
		return fmt.Errorf("key service %q: %w", v.name, errResting)
	default:
		return fmt.Errorf("key service %q: %w", v.name, reduce(err))
	}
}
