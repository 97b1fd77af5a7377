package secretstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aichub/lanyard/crypto"
)

// The tests of a Rewrapper whose master key stays the same. What is under the
// newest key already may come back as it is, opened or not.
var rewrapTests = map[string]func(*testing.T, crypto.Secrets, crypto.Rewrapper){
	"Nothing": func(t *testing.T, _ crypto.Secrets, r crypto.Rewrapper) {
		if out := r.Rewrap(t.Context(), nil); len(out) != 0 {
			t.Errorf("Rewrap() of nothing gave %d answers", len(out))
		}
		if out := r.Rewrap(t.Context(), []crypto.RewrapItem{}); len(out) != 0 {
			t.Errorf("Rewrap() of nothing gave %d answers", len(out))
		}
	},
	"AnswersInOrder": func(t *testing.T, s crypto.Secrets, r crypto.Rewrapper) {
		b := newBatch(t, s, 150) // more than a request of Vault may hold
		for i, answer := range b.rewrap(t, r) {
			b.wantMoved(t, s, i, answer)
		}
	},
	"BadItems": func(t *testing.T, s crypto.Secrets, r crypto.Rewrapper) {
		b := newBatch(t, s, 5)
		b.spoil()
		for i, answer := range b.rewrap(t, r) {
			if b.bad[i] == "" {
				b.wantMoved(t, s, i, answer)
				continue
			}
			b.wantSpoiled(t, s, i, answer)
		}
	},
	"ChangesNoArgument": func(t *testing.T, s crypto.Secrets, r crypto.Rewrapper) {
		b := newBatch(t, s, 3)
		answers := b.rewrap(t, r)
		for i, item := range b.items {
			if !same(item.Wrapped, b.samples[i].wrapped) || !bytes.Equal(item.Binding, b.samples[i].binding) {
				t.Errorf("Rewrap() changed item %d", i)
			}
		}
		// The answers share no memory with the items.
		for _, item := range b.items {
			clear(item.Wrapped.Ciphertext)
			clear(item.Binding)
		}
		for i, answer := range answers {
			b.wantMoved(t, s, i, answer)
		}
	},
	"Cancelled": func(t *testing.T, s crypto.Secrets, r crypto.Rewrapper) {
		b := newBatch(t, s, 3)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		answers := r.Rewrap(ctx, b.items)
		if len(answers) != len(b.items) {
			t.Fatalf("Rewrap() gave %d answers for %d items", len(answers), len(b.items))
		}
		for i, answer := range answers {
			wantGaveUp(t, fmt.Sprintf("item %d of Rewrap()", i), answer.Err)
		}
	},
}

var rotationTests = map[string]func(*testing.T, crypto.Secrets, func()){
	"OldKeysOpen": func(t *testing.T, s crypto.Secrets, rotate func()) {
		name, x := s.Name(), newSample(t, s, "old")
		for range 3 {
			rotate()
			x.wantOpens(t, s, "wrapped before a rotation", x.wrapped)
			x.wantRefused(t, s, "wrapped before a rotation", x.wrapped, []byte("elsewhere"), crypto.ErrIntegrity)
		}
		if after := s.Name(); after != name {
			t.Errorf("Name() = %q after a rotation, %q before", after, name)
		}
	},
	"NewKeysAreNamed": func(t *testing.T, s crypto.Secrets, rotate func()) {
		old := newSample(t, s, "old")
		rotate()
		fresh := newSample(t, s, "new")
		if fresh.wrapped.KeyVersion == old.wrapped.KeyVersion {
			t.Errorf("Wrap() names key version %q before and after a rotation", old.wrapped.KeyVersion)
		}
		fresh.wantOpens(t, s, "wrapped after a rotation", fresh.wrapped)
		// No trial decryption: the version that is named decides.
		crossed := crypto.Wrapped{KeyVersion: fresh.wrapped.KeyVersion, Ciphertext: old.wrapped.Ciphertext}
		old.wantRefused(t, s, "under the other key version", crossed, old.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
	},
	"Rewrap": func(t *testing.T, s crypto.Secrets, rotate func()) {
		r, ok := s.(crypto.Rewrapper)
		if !ok {
			return // nothing is promised
		}
		b := newBatch(t, s, 5)
		rotate()
		newest := newSample(t, s, "new").wrapped.KeyVersion
		b.spoil()
		for i, answer := range b.rewrap(t, r) {
			if b.bad[i] != "" {
				if answer.Err == nil {
					t.Errorf("Rewrap() moved item %d (%s), want an error", i, b.bad[i])
				} else if !errors.Is(answer.Err, crypto.ErrIntegrity) && !errors.Is(answer.Err, crypto.ErrUnknownKey) {
					t.Errorf("Rewrap() of item %d (%s) = %v, want ErrIntegrity or ErrUnknownKey", i, b.bad[i], answer.Err)
				}
				continue
			}
			b.wantMoved(t, s, i, answer)
			if answer.Wrapped.KeyVersion != newest {
				t.Errorf("Rewrap() left item %d under key version %q, want %q", i, answer.Wrapped.KeyVersion, newest)
			}
			if bytes.Equal(answer.Wrapped.Ciphertext, b.samples[i].wrapped.Ciphertext) {
				t.Errorf("Rewrap() of item %d gave the old ciphertext", i)
			}
			b.samples[i].wantOpens(t, s, "as it was before Rewrap", b.samples[i].wrapped)
		}
	},
}

// batch is several wrapped keys on their way through one Rewrap.
type batch struct {
	samples []sample
	items   []crypto.RewrapItem
	bad     map[int]string // why an item must not get through
}

func newBatch(t *testing.T, s crypto.Secrets, n int) *batch {
	t.Helper()
	b := &batch{bad: map[int]string{}}
	for i := range n {
		x := newSample(t, s, fmt.Sprint("item ", i))
		b.samples = append(b.samples, x)
		b.items = append(b.items, crypto.RewrapItem{Wrapped: cloned(x.wrapped), Binding: bytes.Clone(x.binding)})
	}
	return b
}

// spoil puts bad items between the good ones.
func (b *batch) spoil() {
	good := b.items
	x := b.samples[0]
	flipped := bytes.Clone(x.wrapped.Ciphertext)
	flipped[len(flipped)/2] ^= 1
	bad := []struct {
		why  string
		item crypto.RewrapItem
	}{
		{"a changed ciphertext", crypto.RewrapItem{Wrapped: with(x.wrapped, flipped), Binding: x.binding}},
		{"another binding", crypto.RewrapItem{Wrapped: cloned(x.wrapped), Binding: []byte("elsewhere")}},
		{"no ciphertext", crypto.RewrapItem{Wrapped: with(x.wrapped, nil), Binding: x.binding}},
		{"an unknown key version", crypto.RewrapItem{Wrapped: crypto.Wrapped{KeyVersion: "no-such-version", Ciphertext: x.wrapped.Ciphertext}, Binding: x.binding}},
	}
	samples := b.samples
	b.items, b.samples = nil, nil
	for i := range good {
		if i < len(bad) {
			b.bad[len(b.items)] = bad[i].why
			b.items, b.samples = append(b.items, bad[i].item), append(b.samples, x)
		}
		b.items, b.samples = append(b.items, good[i]), append(b.samples, samples[i])
	}
}

// rewrap returns one answer an item.
func (b *batch) rewrap(t *testing.T, r crypto.Rewrapper) []crypto.RewrapResult {
	t.Helper()
	answers := r.Rewrap(t.Context(), b.items)
	if len(answers) != len(b.items) {
		t.Fatalf("Rewrap() gave %d answers for %d items", len(answers), len(b.items))
	}
	return answers
}

// wantMoved fails the test unless the answer for a good item opens in its
// place and in no other.
func (b *batch) wantMoved(t *testing.T, s crypto.Secrets, i int, answer crypto.RewrapResult) {
	t.Helper()
	if answer.Err != nil {
		t.Errorf("Rewrap() of item %d = %v, want nil", i, answer.Err)
		return
	}
	x := b.samples[i]
	what := fmt.Sprintf("item %d after Rewrap", i)
	wantWellFormed(t, what, answer.Wrapped, x.key)
	x.wantOpens(t, s, what, answer.Wrapped)
	x.wantRefused(t, s, what, answer.Wrapped, []byte("elsewhere"), crypto.ErrIntegrity)
}

// wantSpoiled fails the test if the answer for a bad item opens anywhere it
// should not, or was refused for a reason of another kind.
func (b *batch) wantSpoiled(t *testing.T, s crypto.Secrets, i int, answer crypto.RewrapResult) {
	t.Helper()
	x, item, why := b.samples[i], b.items[i], b.bad[i]
	if answer.Err != nil {
		if !errors.Is(answer.Err, crypto.ErrIntegrity) && !errors.Is(answer.Err, crypto.ErrUnknownKey) {
			t.Errorf("Rewrap() of an item with %s = %v, want ErrIntegrity or ErrUnknownKey", why, answer.Err)
		}
		wantSilent(t, why, answer.Err, x.key)
		return
	}
	x.wantRefused(t, s, "an item with "+why+" after Rewrap", answer.Wrapped, item.Binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
}
