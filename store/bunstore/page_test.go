package bunstore_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

// A row that no Store wrote is named, and keeps nobody from the rows before and
// behind it.
func TestDamagedRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "lanyard.db")+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	st, err := bunstore.New(bun.NewDB(db, sqlitedialect.New()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	ownerKey, err := st.CreateOwnerKey(ctx, store.OwnerKey{ID: "ok", Owner: ana, Secrets: "keyring", KeyVersion: "v1", Wrapped: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, name := range names {
		k := newKey(name)
		k.MAC, k.ExpiresAt = nil, now.Add(time.Hour)
		if err := st.CreateAPIKey(ctx, k, -1, event(ctx, "key "+name)); err != nil {
			t.Fatal(err)
		}
		token := store.ProviderToken{ID: name, Owner: ana, ProviderID: "github", Label: name, OwnerKeyID: ownerKey.ID, ExpiresAt: now.Add(time.Hour)}
		if err := st.CreateProviderToken(ctx, token, -1, event(ctx, "token "+name)); err != nil {
			t.Fatal(err)
		}
	}
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	key := func(name string) string { return newKey(name).ID }
	exec(`UPDATE lanyard_api_keys SET scopes = '{not json' WHERE id = '` + key("a") + `'`)
	exec(`UPDATE lanyard_api_keys SET scopes = '{}' WHERE id = '` + key("c") + `'`)
	exec(`UPDATE lanyard_api_keys SET subject = '' WHERE id = '` + key("d") + `'`)
	exec(`UPDATE lanyard_api_keys SET shard = (shard + 1) % 256 WHERE id = '` + key("g") + `'`)
	exec(`UPDATE lanyard_api_keys SET hash = x'00' WHERE id = '` + key("h") + `'`)
	exec(`UPDATE lanyard_provider_tokens SET secrets = '{not json' WHERE id = 'a'`)
	exec(`UPDATE lanyard_provider_tokens SET fields = '{' WHERE id = 'b'`)
	exec(`UPDATE lanyard_provider_tokens SET secrets = '{"token":{"version":"x"}}' WHERE id = 'g'`)
	exec(`UPDATE lanyard_provider_tokens SET id = CAST(x'68ff' AS TEXT) WHERE id = 'h'`)
	exec(`INSERT INTO lanyard_owner_keys VALUES ('', 'x', 'y', 1, 'keyring', 'v1', x'01', 0), ('odd', '', 'old', 1, 'keyring', 'v1', x'01', 999999999999999999)`)

	want := []bunstore.Damaged{
		{"lanyard_api_keys", key("a")}, {"lanyard_api_keys", key("c")}, {"lanyard_api_keys", key("d")}, {"lanyard_api_keys", key("g")}, {"lanyard_api_keys", key("h")},
		{"lanyard_provider_tokens", "a"}, {"lanyard_provider_tokens", "b"}, {"lanyard_provider_tokens", "g"}, {"lanyard_provider_tokens", "h\xff"},
		{"lanyard_owner_keys", ""},
	}
	if got, err := st.Damaged(ctx); err != nil || !slices.Equal(got, want) {
		t.Errorf("Damaged() = %v, %v, want %v", got, err, want)
	}
	sound := []string{key("b"), key("e"), key("f")}
	for _, limit := range []int{1, 2, 3, 100} {
		for what, read := range map[string]func(after string) ([]store.APIKey, error){
			"ExpiringAPIKeys": func(after string) ([]store.APIKey, error) {
				return st.ExpiringAPIKeys(ctx, time.Time{}, now.AddDate(1, 0, 0), after, limit)
			},
			"AllAPIKeys":      func(after string) ([]store.APIKey, error) { return st.AllAPIKeys(ctx, after, limit) },
			"UnsignedAPIKeys": func(after string) ([]store.APIKey, error) { return st.UnsignedAPIKeys(ctx, after, limit) },
		} {
			if got := pages(t, limit, func(k store.APIKey) string { return k.ID }, read); !slices.Equal(got, sound) {
				t.Errorf("%s, %d at once: %q, want %q", what, limit, got, sound)
			}
		}
		for what, read := range map[string]func(after string) ([]store.ProviderToken, error){
			"ExpiringProviderTokens": func(after string) ([]store.ProviderToken, error) {
				return st.ExpiringProviderTokens(ctx, time.Time{}, now.AddDate(1, 0, 0), after, limit)
			},
			"AllProviderTokens": func(after string) ([]store.ProviderToken, error) { return st.AllProviderTokens(ctx, after, limit) },
		} {
			got := pages(t, limit, func(p store.ProviderToken) string { return p.ID }, read)
			if want := []string{"c", "d", "e", "f"}; !slices.Equal(got, want) {
				t.Errorf("%s, %d at once: %q, want %q", what, limit, got, want)
			}
		}
		got := pages(t, limit, func(k store.OwnerKey) string { return k.ID }, func(after string) ([]store.OwnerKey, error) { return st.AllOwnerKeys(ctx, after, limit) })
		if want := []string{"odd", "ok"}; !slices.Equal(got, want) {
			t.Errorf("AllOwnerKeys, %d at once: %q, want %q", limit, got, want)
		}
	}

	// Nobody acts on what cannot be read.
	for _, name := range []string{"a", "c", "g"} {
		if _, err := st.APIKeyByHash(ctx, newKey(name).Hash); !errors.Is(err, store.ErrDamaged) || !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("APIKeyByHash of the damaged row %s = %v, want ErrDamaged", name, err)
		}
	}
	// But it can be deleted.
	n, err := st.DeleteAPIKeysCreatedBefore(ctx, now.Add(time.Hour), now, 100, func(k store.APIKey) lanyard.Event { return event(ctx, "deleted "+k.ID) })
	if err != nil || n != len(names) {
		t.Errorf("DeleteAPIKeysCreatedBefore() = %d, %v, want %d", n, err, len(names))
	}
}

// pages reads all pages and returns the ids.
func pages[T any](t *testing.T, limit int, id func(T) string, read func(after string) ([]T, error)) []string {
	t.Helper()
	var all []string
	for after := ""; ; {
		page, err := read(after)
		if err != nil || len(page) > limit {
			t.Fatalf("a page of %d holds %d, %v", limit, len(page), err)
		}
		for _, r := range page {
			all = append(all, id(r))
		}
		if len(page) < limit {
			return all
		}
		after = all[len(all)-1]
	}
}
