package providertoken_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/store"
)

// inspect inspects all that w has, by the definitions of the catalogue alone:
// the instances are the host's secret.
func inspect(t *testing.T, w *world) providertoken.Inspection {
	t.Helper()
	got, err := providertoken.Inspect(t.Context(), w.store, w.sealer, catalog.All(), nil)
	ok(t, err)
	if text := fmt.Sprintf("%+v", got); len(found([]byte(text), anaSecret, newSecret)) > 0 {
		t.Errorf("Inspect() shows a secret: %s", text)
	}
	return got
}

// wantUnreadable fails the test unless that alone does not open.
func wantUnreadable(t *testing.T, what string, got providertoken.Inspection, token, field string, want error) {
	t.Helper()
	if len(got.Unreadable) != 1 || got.Unreadable[0].TokenID != token || got.Unreadable[0].Field != field {
		t.Fatalf("Inspect() %s found %+v, want %s of %s alone", what, got.Unreadable, field, token)
	}
	is(t, "Inspect() "+what, got.Unreadable[0].Err, want)
}

// spoil changes a stored row behind the service's back.
func (w *world) spoil(t *testing.T, id string, change func(*store.ProviderToken)) {
	t.Helper()
	row := w.row(t, id)
	row.Secrets, row.Fields = maps.Clone(row.Secrets), maps.Clone(row.Fields)
	change(&row)
	ok(t, w.store.UpdateProviderToken(t.Context(), row, lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "spoilt", id)))
}

func TestInspect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ids := map[string]string{}
	for definition := range w.fakes {
		token, err := w.tokens.Create(t.Context(), ana, request(definition, anaSecret))
		ok(t, err)
		ids[definition] = token.ID
	}
	if got := inspect(t, w); got.Tokens != len(ids) || got.Secrets != len(ids) || len(got.Unreadable) != 0 {
		t.Fatalf("Inspect() = %+v, want %d connections whose secrets all open", got, len(ids))
	}

	id := ids["jira-cloud"]
	sealed := w.row(t, id).Secrets["api_token"]
	changes := map[string]func(*store.ProviderToken){
		"of another destination": func(row *store.ProviderToken) { row.Fields["site"] = "evil" },
		"of another version": func(row *store.ProviderToken) {
			row.Secrets["api_token"] = store.SealedSecret{Envelope: sealed.Envelope, Version: sealed.Version + 1}
		},
		"of no envelope": func(row *store.ProviderToken) {
			row.Secrets["api_token"] = store.SealedSecret{Envelope: []byte("LYD"), Version: sealed.Version}
		},
		"of another method": func(row *store.ProviderToken) { row.MethodID = "pat" },
	}
	for what, change := range changes {
		before := w.row(t, id)
		w.spoil(t, id, change)
		wantUnreadable(t, what, inspect(t, w), id, "api_token", crypto.ErrIntegrity)
		w.spoil(t, id, func(row *store.ProviderToken) {
			row.MethodID, row.Fields, row.Secrets = before.MethodID, before.Fields, before.Secrets
		})
	}
	w.spoil(t, id, func(row *store.ProviderToken) { row.MethodID = "forgotten" })
	wantUnreadable(t, "of an unknown method", inspect(t, w), id, "api_token", providertoken.ErrNotOffered)
}

// Every connection is looked at, however many pages they fill.
func TestInspectPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *providertoken.Options) { o.Limit = -1 })
	first := w.row(t, w.connect(t).ID)
	const all = 250
	e := lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "copied", "")
	for n := range all - 1 {
		row := first
		row.ID, row.Label = lanyard.NewID(), fmt.Sprint(n)
		e.ID = lanyard.NewID()
		ok(t, w.store.CreateProviderToken(t.Context(), row, -1, e))
	}
	var heard []int
	got, err := providertoken.Inspect(t.Context(), w.store, w.sealer, catalog.All(), func(i providertoken.Inspection) { heard = append(heard, i.Tokens) })
	ok(t, err)
	// A copy has another id, to which its secret is not sealed.
	if got.Tokens != all || got.Secrets != all || len(got.Unreadable) != all-1 {
		t.Errorf("Inspect() = %d connections, %d secrets, %d unreadable, want %d, %[4]d, %d", got.Tokens, got.Secrets, len(got.Unreadable), all, all-1)
	}
	for n, u := range got.Unreadable {
		if u.TokenID == first.ID || n > 0 && u.TokenID <= got.Unreadable[n-1].TokenID {
			t.Fatalf("Inspect() lists %s at %d, want the copies alone, in the order of ids", u.TokenID, n)
		}
	}
	if fmt.Sprint(heard) != "[100 200 250]" {
		t.Errorf("progress heard of %v, want 100, 200 and 250", heard)
	}
}

// silent is a key service that is down.
type silent struct{ crypto.Secrets }

func (silent) Unwrap(context.Context, crypto.Wrapped, []byte) ([]byte, error) {
	return nil, lanyard.ErrUnavailable
}

// A key service that does not answer says nothing about anybody's secrets.
func TestInspectWhileTheKeyServiceIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.connect(t)
	down, err := crypto.NewSealer(silent{w.ring}, w.store, nil)
	ok(t, err)
	got, err := providertoken.Inspect(t.Context(), w.store, down, catalog.All(), nil)
	is(t, "Inspect() while the key service is down", err, lanyard.ErrUnavailable)
	if got.Tokens != 0 || len(got.Unreadable) != 0 {
		t.Errorf("Inspect() while the key service is down = %+v, want nothing", got)
	}
}

// A definition that contradicts itself is refused, not read around.
func TestInspectWantsDefinitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := providertoken.Inspect(t.Context(), w.store, w.sealer, []providertoken.Definition{{ID: "X"}}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "providertoken: inspect: ") {
		t.Errorf("Inspect() by a bad definition = %v, want an error", err)
	}
}

// changing is a store in which something happens after each page was read.
type changing struct {
	providertoken.Inspected
	happens func()
}

func (c changing) AllProviderTokens(ctx context.Context, after string, limit int) ([]store.ProviderToken, error) {
	rows, err := c.Inspected.AllProviderTokens(ctx, after, limit)
	c.happens()
	return rows, err
}

// What an owner does meanwhile is not held against anybody.
func TestInspectBesideUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	gone, edited := w.connect(t), request("github", anaSecret)
	kept, err := w.tokens.Create(t.Context(), ana, edited)
	ok(t, err)
	sealed := w.row(t, kept.ID).Secrets["token"]
	for _, id := range []string{gone.ID, kept.ID} {
		w.spoil(t, id, func(row *store.ProviderToken) {
			row.Secrets["token"] = store.SealedSecret{Envelope: sealed.Envelope, Version: 7}
		})
	}
	got, err := providertoken.Inspect(t.Context(), changing{w.store, func() {
		ok(t, w.tokens.Delete(t.Context(), ana, gone.ID, 0))
		w.spoil(t, kept.ID, func(row *store.ProviderToken) { row.Secrets["token"] = sealed })
	}}, w.sealer, catalog.All(), nil)
	if err != nil || got.Secrets != 1 || len(got.Unreadable) != 0 {
		t.Errorf("Inspect() beside users = %+v, %v, want the one secret that is left, which opens", got, err)
	}
}
