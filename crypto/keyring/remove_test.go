package keyring_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto/keyring"
)

// counted says that a key wrapped n keys, and notes which it was asked about.
func counted(n int, asked *[]string) func(context.Context, string) (int, error) {
	return func(_ context.Context, id string) (int, error) {
		*asked = append(*asked, id)
		return n, nil
	}
}

// A key goes in three steps, and only when nothing needs it.
func TestRemove(t *testing.T) {
	t.Parallel()
	path := newRingFile(t, nil)
	ring, elsewhere := open(t, path, nil), open(t, path, nil)
	old := wrap(t, ring)
	if err := ring.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	newest := wrap(t, ring)
	var asked []string
	refuse := func(what, id string, count func(context.Context, string) (int, error), want error) {
		t.Helper()
		if err := ring.Remove(t.Context(), id, count); !errors.Is(err, want) {
			t.Errorf("Remove() of %s = %v, want %v", what, err, want)
		}
		if got := len(open(t, path, nil).Keys()); got != 2 {
			t.Fatalf("the file has %d keys after Remove() of %s was refused, want 2", got, what)
		}
	}
	refuse("the primary key", newest.KeyVersion, counted(0, &asked), lanyard.ErrConflict)
	refuse("a key that unwraps", old.KeyVersion, counted(0, &asked), lanyard.ErrConflict)
	refuse("an unknown key", lanyard.NewID(), counted(0, &asked), lanyard.ErrNotFound)
	if len(asked) != 0 {
		t.Errorf("keys %q were counted, want none of what is refused anyway", asked)
	}
	wantOpens(t, "after what was refused", ring, old)

	if err := elsewhere.Disable(old.KeyVersion); err != nil {
		t.Fatalf("Disable() = %v, want nil", err)
	}
	refuse("a key in use", old.KeyVersion, counted(3, &asked), keyring.ErrInUse)
	refuse("a key in use", old.KeyVersion, counted(-1, &asked), keyring.ErrInUse)
	down := errors.New("the store is down")
	refuse("a key nobody knows about", old.KeyVersion, func(context.Context, string) (int, error) { return 0, down }, down)
	if !slices.Equal(asked, []string{old.KeyVersion, old.KeyVersion}) {
		t.Errorf("keys %q were counted, want %q twice", asked, old.KeyVersion)
	}
	var input *lanyard.InputError
	if err := ring.Remove(t.Context(), old.KeyVersion, nil); !errors.As(err, &input) || input.Field != "count" {
		t.Errorf("Remove() without a count = %v, want an InputError of count", err)
	}
	// It may be wanted back while it is being counted.
	refuse("a key that was enabled meanwhile", old.KeyVersion, func(context.Context, string) (int, error) {
		return 0, elsewhere.Enable(old.KeyVersion)
	}, lanyard.ErrConflict)
	wantOpens(t, "enabled again", open(t, path, nil), old)

	if err := ring.Disable(old.KeyVersion); err != nil {
		t.Fatalf("Disable() = %v, want nil", err)
	}
	secret := readRing(t, path).Keys[0].Key
	if err := ring.Remove(t.Context(), old.KeyVersion, counted(0, &asked)); err != nil {
		t.Fatalf("Remove() = %v, want nil", err)
	}
	want := []keyring.KeyInfo{{ID: newest.KeyVersion, State: keyring.StatePrimary}}
	for name, r := range map[string]*keyring.Ring{"the ring": ring, "one opened since": open(t, path, nil)} {
		if got := r.Keys(); !slices.Equal(got, want) {
			t.Errorf("%s has the keys %v, want %v", name, got, want)
		}
		wantUnknown(t, name, r, old)
		wantOpens(t, name, r, newest)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantNotIn(t, "the file", string(raw), secret)
	if err := ring.Remove(t.Context(), old.KeyVersion, counted(0, &asked)); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("Remove() of a key that is gone = %v, want ErrNotFound", err)
	}
}

func TestInUseIsAConflict(t *testing.T) {
	t.Parallel()
	if !errors.Is(keyring.ErrInUse, lanyard.ErrConflict) {
		t.Error("ErrInUse is no ErrConflict")
	}
}
