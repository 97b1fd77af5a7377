package apikey_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// table changes rows on their way out, and fails behind a page.
type table struct {
	*memory.Store
	change func(*store.APIKey)
	err    error
}

func (t table) AllAPIKeys(ctx context.Context, after string, limit int) ([]store.APIKey, error) {
	if t.err != nil {
		return nil, t.err
	}
	keys, err := t.Store.AllAPIKeys(ctx, after, limit)
	for i := range keys {
		t.change(&keys[i])
	}
	return keys, err
}

func TestInspect(t *testing.T) {
	t.Parallel()
	st := memory.New()
	sealer, _ := newSealer(t, st)
	keys := newService(t, st, &apikey.Options{Prefix: "aic", Sealer: sealer})
	var ids []string
	for range 4 {
		k, err := keys.Create(t.Context(), ana, apikey.CreateRequest{Name: "k"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.Key.ID)
	}
	if found, err := apikey.Inspect(t.Context(), st, sealer); err != nil || found.Keys != 4 || len(found.Unsigned)+len(found.Forged) != 0 {
		t.Errorf("Inspect() = %+v, %v, want 4 good keys", found, err)
	}
	found, err := apikey.Inspect(t.Context(), table{Store: st, change: func(k *store.APIKey) {
		switch k.ID {
		case ids[0]:
			k.MAC = nil
		case ids[1]:
			k.MAC = []byte{0}
		case ids[2]:
			k.Owner.Subject = "bob"
		}
	}}, sealer)
	if err != nil || found.Keys != 4 || !slices.Equal(found.Unsigned, ids[:1]) || !slices.Equal(found.Forged, slices.Sorted(slices.Values(ids[1:3]))) {
		t.Errorf("Inspect() = %+v, %v, want %v unsigned and %v forged", found, err, ids[:1], ids[1:3])
	}
	if _, err := apikey.Inspect(t.Context(), table{Store: st, err: lanyard.ErrUnavailable}, sealer); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Inspect() without the store = %v, want ErrUnavailable", err)
	}
	if _, err := apikey.Inspect(t.Context(), st, nil); err == nil {
		t.Error("Inspect() without a Sealer = nil, want an error")
	}
}
