package apikey_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/sqlite"
)

// A row that cannot be read, or whose shard is not its owner's, is refused like a
// forged one, with one alarm an hour however often it is used; its owner's other
// keys go on, and it can be deleted.
func TestDamagedRowsAreRefused(t *testing.T) {
	t.Parallel()
	forDatabases(t, func(t *testing.T, st store.Store, exec func(string)) {
		sealer, _ := newSealer(t, st)
		for _, signed := range []bool{true, false} {
			for what, column := range map[string]string{
				"no JSON":          `scopes = '{not json'`,
				"no list":          `scopes = '{}'`,
				"a list of others": `scopes = '["read",{}]'`,
				"no such shard":    `shard = 999`,
				"below all shards": `shard = -1`,
				"another shard":    `shard = (shard + 1) % 256`,
			} {
				what = fmt.Sprintf("%s, signed: %t", what, signed)
				log := new(bytes.Buffer)
				o := &apikey.Options{
					Prefix: "aic", Scopes: []string{"read"}, Limit: -1, MaxStale: -1,
					Logger: slog.New(slog.NewJSONHandler(log, nil)), AcceptForeign: sanctum,
				}
				if signed {
					o.Sealer = sealer
				}
				b := &bench{clock: newClock()}
				o.Now = b.clock.now
				b.Service = newService(t, st, o)
				key, token := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"read"}})
				_, other := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"read"}})
				foreign := "1|" + lanyard.NewID()
				request := apikey.ImportRequest{Owner: bob, Name: "ci", Hash: hexHash(foreign[2:])}
				imported, err := b.Import(t.Context(), []apikey.ImportRequest{request})
				if err != nil || imported[0].Err != nil {
					t.Fatalf("Import() = %+v, %v", imported, err)
				}
				for _, id := range []string{key.ID, imported[0].Key.ID} {
					exec(fmt.Sprintf(`UPDATE lanyard_api_keys SET %s WHERE id = '%s'`, column, id))
				}

				for range 3 {
					b.wantRefused(t, what, token)
				}
				if text := log.String(); strings.Count(text, alarm) != 1 || !strings.Contains(text, `"level":"ERROR"`) || !strings.Contains(text, key.ID) {
					t.Errorf("%s: three calls in an hour logged %q, want one alarm that names the key", what, text)
				}
				b.clock.advance(time.Hour)
				b.wantRefused(t, what+", later", token)
				b.wantRefused(t, what+", foreign", foreign)
				if strings.Count(log.String(), alarm) != 3 {
					t.Errorf("%s: an hour later, and of another key, logged %q, want two alarms more", what, log)
				}
				b.wantGood(t, "another key beside "+what, other)

				if err := b.DeleteByToken(t.Context(), foreign); !errors.Is(err, lanyard.ErrNotFound) || errors.Is(err, lanyard.ErrUnavailable) {
					t.Errorf("%s: DeleteByToken() = %v, want ErrNotFound", what, err)
				}
				again, err := b.Import(t.Context(), []apikey.ImportRequest{request, {Owner: bob, Name: "next", Hash: hexHash(what + lanyard.NewID())}})
				if err != nil || len(again) != 2 || !errors.Is(again[0].Err, store.ErrDamaged) || again[1].Err != nil {
					t.Errorf("%s: Import() = %+v, %v, want ErrDamaged and the next key", what, again, err)
				}
				if err := b.Delete(t.Context(), ana, key.ID, 0); err != nil {
					t.Errorf("%s: Delete() = %v, want nil", what, err)
				}
				b.wantRefused(t, what+", deleted", token)
				exec(`UPDATE lanyard_api_keys SET deleted_at = 1 WHERE id = '` + imported[0].Key.ID + `'`)
			}
		}
	})
}

// A name that no store would have written keeps nobody from deleting the key.
func TestDeleteOfAnOddName(t *testing.T) {
	t.Parallel()
	forDatabases(t, func(t *testing.T, st store.Store, exec func(string)) {
		b := &bench{clock: newClock()}
		b.Service = newService(t, st, &apikey.Options{Now: b.clock.now})
		names := []string{`E'line\nbreak'`, `E'\u202e'`, `''`}
		if _, ok := st.(*sqlite.Store); ok { // which keeps any bytes
			names = []string{`CAST(x'ff' AS TEXT)`, `CAST(x'610062' AS TEXT)`, `CAST(x'c328' AS TEXT)`, `''`}
		}
		for _, name := range names {
			for what, remove := range map[string]func(key apikey.Key, token string) error{
				"Delete":           func(k apikey.Key, _ string) error { return b.Delete(t.Context(), ana, k.ID, 0) },
				"DeleteByToken":    func(_ apikey.Key, token string) error { return b.DeleteByToken(t.Context(), token) },
				"DeleteAPIKeyByID": func(k apikey.Key, _ string) error { return deleteByID(t, st, k.ID, b.clock.now()) },
			} {
				key, token := b.create(t, ana, apikey.CreateRequest{})
				exec(fmt.Sprintf(`UPDATE lanyard_api_keys SET name = %s WHERE id = '%s'`, name, key.ID))
				b.wantGood(t, "a key with the name "+name, token)
				if err := remove(key, token); err != nil {
					t.Errorf("%s of a key with the name %.20s = %v, want nil", what, name, err)
				}
				if err := b.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.wantRefused(t, "deleted, with the name "+name, token)
				told := func(e lanyard.Event) bool { return e.Object == key.ID }
				if !slices.ContainsFunc(historyOf(t, st, ana, apikey.ActionDeleted), told) {
					t.Errorf("%s of a key with the name %.20s left no event", what, name)
				}
			}
		}
	})
}

func deleteByID(t *testing.T, st store.Store, id string, at time.Time) error {
	return st.DeleteAPIKeyByID(t.Context(), id, at, func(k store.APIKey) lanyard.Event {
		return lanyard.NewEvent(t.Context(), at, k.Owner, apikey.ActionDeleted, k.ID).With(apikey.DetailName, k.Name)
	})
}
