package apikey_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

// sanctum splits a token as Laravel Sanctum does, whose tokens are "id|secret"
// and which keeps the SHA-256 of the secret.
func sanctum(token string) (string, bool) {
	id, secret, ok := strings.Cut(token, "|")
	return secret, ok && id != ""
}

func hexHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// The hashes as the three systems keep them.
func TestImportReadsTheHashesOfOtherSystems(t *testing.T) {
	t.Parallel()
	const plain = "uKey_3ZhYt7bK"
	sum := sha256.Sum256([]byte(plain))
	for system, hash := range map[string]string{
		"Laravel Sanctum":    hex.EncodeToString(sum[:]),
		"capitals":           strings.ToUpper(hex.EncodeToString(sum[:])),
		"Unkey":              base64.StdEncoding.EncodeToString(sum[:]),
		"better-auth":        base64.RawURLEncoding.EncodeToString(sum[:]),
		"base64, not padded": base64.RawStdEncoding.EncodeToString(sum[:]),
		"base64 URL, padded": base64.URLEncoding.EncodeToString(sum[:]),
	} {
		b := newBench(t, nil)
		results, err := b.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "ci", Hash: hash}})
		if err != nil || len(results) != 1 || results[0].Err != nil {
			t.Errorf("%s: Import(%q) = %+v, %v, want one key", system, hash, results, err)
			continue
		}
		row, err := b.memory.APIKeyByHash(t.Context(), sum[:])
		if err != nil || row.Key.ID != results[0].Key.ID {
			t.Errorf("%s: the row of the token's hash is %q (%v), want that of %q", system, row.Key.ID, err, results[0].Key.ID)
		}
	}
	good := base64.RawURLEncoding.EncodeToString(sum[:])
	for what, hash := range map[string]string{
		"empty": "", "the token": plain, "one digit less": hexHash(plain)[1:], "one more": hexHash(plain) + "0",
		"no digit": "g" + hexHash(plain)[1:], "SHA-512": hexHash(plain) + hexHash(plain), "a line": hexHash(plain) + "\n",
		"not base64": "!" + good[1:], "bits behind the end": good[:42] + "/", "padded twice": good + "==",
		"a line inside": good[:20] + "\n" + good[20:], "spaces": " " + good[1:], "bcrypt": "$2y$10$" + strings.Repeat("a", 53),
	} {
		b := newBench(t, nil)
		results, err := b.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "ci", Hash: hash}})
		if err != nil || len(results) != 1 {
			t.Fatalf("%s: Import() = %+v, %v", what, results, err)
		}
		wantInput(t, "Import of "+what, results[0].Err, "hash", "invalid")
		if hash != "" && strings.Contains(results[0].Err.Error(), hash) {
			t.Errorf("%s: the error %q repeats what was refused", what, results[0].Err)
		}
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	forStores(t, func(t *testing.T, open func() store.Store) {
		st, heard, clock := open(), new(heard), newClock()
		sealer, _ := newSealer(t, st)
		s := newService(t, st, &apikey.Options{
			Prefix: "aic", Scopes: []string{"read", "write"}, Limit: 1, Sealer: sealer,
			Now: clock.now, OnEvent: heard.hear, AcceptForeign: sanctum,
		})
		requests := []apikey.ImportRequest{
			{
				Owner: ana, Name: " ci ", Hash: hexHash("canary-one"), Hint: "3|cana", Scopes: []string{"write", "read", "write"},
				CreatedAt: start.Add(-1000 * time.Hour), ExpiresAt: start.Add(time.Hour), LastUsedAt: start.Add(-time.Minute),
			},
			{Owner: ana, Name: "second, beyond the limit", Hash: hexHash("canary-two")},
			{Owner: bob, Name: "expired", Hash: hexHash("canary-three"), CreatedAt: start.Add(-2 * time.Hour), ExpiresAt: start.Add(-time.Hour)},
		}
		results, err := s.Import(t.Context(), requests)
		if err != nil || len(results) != 3 {
			t.Fatalf("Import() = %+v, %v, want three results", results, err)
		}
		for i, r := range results {
			if r.Err != nil || len(r.Key.ID) != 10 || r.Key.Version != 1 {
				t.Errorf("result %d = %+v, want a key", i, r)
			}
		}
		want := results[0].Key
		got, err := s.Key(t.Context(), ana, want.ID)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Key() = %+v, %v, want what Import said: %+v", got, err, want)
		}
		if got.Name != "ci" || got.Hint != "3|cana" || !slices.Equal(got.Scopes, []string{"read", "write"}) ||
			!got.CreatedAt.Equal(start.Add(-1000*time.Hour)) || !got.ExpiresAt.Equal(start.Add(time.Hour)) || !got.LastUsedAt.Equal(start.Add(-time.Minute)) ||
			!got.FirstUsedAt.IsZero() {
			t.Errorf("Key() = %+v, want what the request says, and no first use, which it does not say", got)
		}
		row, err := st.APIKeyByID(t.Context(), want.ID)
		if err != nil || len(row.MAC) == 0 {
			t.Errorf("the row has a MAC of %d bytes (%v), want a signed one", len(row.MAC), err)
		}
		if results[2].Key.Status != apikey.StatusExpired {
			t.Errorf("a key that expired before is %q", results[2].Key.Status)
		}

		// The first use that was seen here is not the first.
		if _, err := s.Verify(t.Context(), "3|canary-one"); err != nil {
			t.Errorf("Verify() of an imported key = %v", err)
		}
		if got, err = s.Key(t.Context(), ana, want.ID); err != nil || !got.FirstUsedAt.IsZero() || !got.LastUsedAt.Equal(start) {
			t.Errorf("an imported key that was used: first at %v, last at %v (%v), want not known, and now", got.FirstUsedAt, got.LastUsedAt, err)
		}

		// Again, and by somebody else: nothing happens twice.
		again, err := s.Import(t.Context(), requests)
		if err != nil || len(again) != 3 {
			t.Fatalf("the second Import() = %+v, %v", again, err)
		}
		for i, r := range again {
			if !errors.Is(r.Err, lanyard.ErrExists) || r.Key.ID != results[i].Key.ID {
				t.Errorf("the second result %d = %+v, want ErrExists and the first's key", i, r)
			}
		}
		stolen, err := s.Import(t.Context(), []apikey.ImportRequest{{Owner: bob, Name: "mine", Hash: hexHash("canary-one")}})
		if err != nil || !errors.Is(stolen[0].Err, apikey.ErrHashTaken) || !errors.Is(stolen[0].Err, lanyard.ErrConflict) || stolen[0].Key.ID != "" {
			t.Errorf("Import() of another's hash = %+v, %v, want ErrHashTaken and nothing of that key", stolen, err)
		}

		// One event each.
		events := append(historyOf(t, st, ana, apikey.ActionImported), historyOf(t, st, bob, apikey.ActionImported)...)
		if len(events) != 3 || len(heard.actions()) != 3 {
			t.Errorf("%d events, heard %q, want three of each", len(events), heard.actions())
		}
		for _, e := range events {
			if strings.Contains(fmt.Sprintf("%+v", e), "canary") {
				t.Errorf("the event %+v holds a token", e)
			}
		}

		// Beyond the limit, which goes on to count.
		if _, err := s.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"}); !errors.Is(err, lanyard.ErrLimit) {
			t.Errorf("Create() beyond the limit = %v, want ErrLimit", err)
		}

		// A deleted one stays deleted.
		if err := s.DeleteByToken(t.Context(), "3|canary-one"); err != nil {
			t.Fatalf("DeleteByToken() of an imported key = %v", err)
		}
		dead, err := s.Import(t.Context(), requests[:1])
		if err != nil || !errors.Is(dead[0].Err, apikey.ErrDeleted) || errors.Is(dead[0].Err, lanyard.ErrExists) {
			t.Errorf("Import() of a deleted key = %+v, %v, want ErrDeleted", dead, err)
		}
		if _, err := s.Key(t.Context(), ana, want.ID); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("Key() after importing a deleted key again = %v, want ErrNotFound", err)
		}

		// An imported key is rotated like any other.
		rotated, err := s.Rotate(t.Context(), bob, results[2].Key.ID, apikey.RotateRequest{})
		if !errors.Is(err, apikey.ErrExpired) {
			t.Errorf("Rotate() of an expired imported key = %+v, %v", rotated, err)
		}
	})
}

// One bad request keeps no other from being taken over.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	good := apikey.ImportRequest{Owner: ana, Name: "ci", Hash: hexHash("secret")}
	for _, tt := range []struct {
		what, field, code string
		change            func(*apikey.ImportRequest)
	}{
		{"no owner", "owner", "required", func(r *apikey.ImportRequest) { r.Owner = lanyard.Owner{} }},
		{"no name", "name", "required", func(r *apikey.ImportRequest) { r.Name = " " }},
		{"a name of two lines", "name", "invalid", func(r *apikey.ImportRequest) { r.Name = "a\nb" }},
		{"the token as its name", "name", "invalid", func(r *apikey.ImportRequest) { r.Name = "secret" }},
		{"the token, in white space, as its name", "name", "invalid", func(r *apikey.ImportRequest) { r.Name = " secret\n" }},
		{"the token as its hint", "hint", "invalid", func(r *apikey.ImportRequest) { r.Hint = "secret" }},
		{"a long hint", "hint", "too-long", func(r *apikey.ImportRequest) { r.Hint = strings.Repeat("x", 17) }},
		{"an odd hint", "hint", "invalid", func(r *apikey.ImportRequest) { r.Hint = "a b" }},
		{"an unknown scope", "scopes", "unknown", func(r *apikey.ImportRequest) { r.Scopes = []string{"read", "admin"} }},
		{"made in the future", "created_at", "invalid", func(r *apikey.ImportRequest) { r.CreatedAt = start.Add(time.Second) }},
		{"made before Christ", "created_at", "invalid", func(r *apikey.ImportRequest) { r.CreatedAt = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"used in the future", "last_used_at", "invalid", func(r *apikey.ImportRequest) { r.LastUsedAt = start.Add(time.Second) }},
		{"expired before it was made", "expires_at", "invalid", func(r *apikey.ImportRequest) { r.ExpiresAt = start }},
		{"expires too late", "expires_at", "invalid", func(r *apikey.ImportRequest) { r.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
	} {
		b := newBench(t, &apikey.Options{Scopes: []string{"read"}})
		bad := good
		tt.change(&bad)
		results, err := b.Import(t.Context(), []apikey.ImportRequest{bad, good})
		if err != nil || len(results) != 2 {
			t.Fatalf("%s: Import() = %+v, %v, want two results", tt.what, results, err)
		}
		wantInput(t, "Import: "+tt.what, results[0].Err, tt.field, tt.code)
		if results[0].Key.ID != "" || results[1].Err != nil {
			t.Errorf("%s: results %+v, want no key and then one", tt.what, results)
		}
		if n := len(b.history(t, ana)); n != 1 {
			t.Errorf("%s left %d events, want that of the good key", tt.what, n)
		}
	}
}

// The same keys from several instances at once make each key once.
func TestImportAtOnce(t *testing.T) {
	t.Parallel()
	forStores(t, func(t *testing.T, open func() store.Store) {
		const keys, instances = 20, 3
		var requests []apikey.ImportRequest
		for i := range keys {
			requests = append(requests, apikey.ImportRequest{Owner: ana, Name: fmt.Sprint("k", i), Hash: hexHash(fmt.Sprint("secret ", i))})
		}
		heard := new(heard)
		var wg sync.WaitGroup
		var mu sync.Mutex
		made := map[string]int{}
		for range instances {
			s := newService(t, open(), &apikey.Options{OnEvent: heard.hear})
			wg.Go(func() {
				results, err := s.Import(t.Context(), requests)
				if err != nil || len(results) != keys {
					t.Errorf("Import() = %d results, %v, want %d", len(results), err, keys)
				}
				mu.Lock()
				defer mu.Unlock()
				for i, r := range results {
					if r.Err == nil {
						made[requests[i].Hash]++
					} else if !errors.Is(r.Err, lanyard.ErrExists) {
						t.Errorf("result %d = %v, want nil or ErrExists", i, r.Err)
					}
				}
			})
		}
		wg.Wait()
		st := open()
		stored, err := st.APIKeys(t.Context(), ana)
		if err != nil || len(stored) != keys || len(historyOf(t, st, ana, apikey.ActionImported)) != keys || len(heard.actions()) != keys {
			t.Errorf("%d keys (%v), %d heard, want %d of each", len(stored), err, len(heard.actions()), keys)
		}
		for hash, n := range made {
			if n != 1 {
				t.Errorf("%s was made %d times", hash, n)
			}
		}
	})
}

// What Import cannot know, as its documentation says: a key whose tombstone is
// gone.
func TestImportAfterTheTombstone(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{AcceptForeign: sanctum})
	request := []apikey.ImportRequest{{Owner: ana, Name: "ci", Hash: hexHash("secret")}}
	for what, forget := range map[string]func() error{
		"a purge": func() error {
			purged, err := b.memory.Purge(t.Context(), store.Purge{TombstonesBefore: b.clock.now().Add(time.Second)})
			if purged.Tombstones != 1 {
				t.Errorf("Purge() = %+v, want one tombstone", purged)
			}
			return err
		},
		"an erasure": func() error {
			e := lanyard.NewEvent(t.Context(), b.clock.now(), lanyard.Owner{Tenant: ana.Tenant}, "erased", "")
			return b.memory.Erase(t.Context(), ana, e)
		},
	} {
		for range 2 {
			if results, err := b.Import(t.Context(), request); err != nil || results[0].Err != nil && !errors.Is(results[0].Err, lanyard.ErrExists) {
				t.Fatalf("Import() = %+v, %v, want the key", results, err)
			}
		}
		if err := b.DeleteByToken(t.Context(), "1|secret"); err != nil {
			t.Fatal(err)
		}
		if results, err := b.Import(t.Context(), request); err != nil || !errors.Is(results[0].Err, apikey.ErrDeleted) {
			t.Errorf("Import() of a deleted key = %+v, %v, want ErrDeleted", results, err)
		}
		if err := forget(); err != nil {
			t.Fatal(err)
		}
		if results, err := b.Import(t.Context(), request); err != nil || results[0].Err != nil {
			t.Errorf("Import() of a deleted key after %s = %+v, %v, want the key, as is documented", what, results, err)
		}
		b.wantGood(t, "imported again after "+what, "1|secret")
	}
}

// Who is second with the same key finds that of the first, whoever that was.
func TestImportRaced(t *testing.T) {
	t.Parallel()
	for _, first := range []lanyard.Owner{ana, bob} {
		b := newBench(t, nil)
		racing := &raced{Store: b.memory}
		s := newService(t, racing, nil)
		racing.before = func() {
			if _, err := b.Import(t.Context(), []apikey.ImportRequest{{Owner: first, Name: "first", Hash: hexHash("1")}}); err != nil {
				t.Error(err)
			}
		}
		results, err := s.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "second", Hash: hexHash("1")}})
		if err != nil || len(results) != 1 {
			t.Fatalf("Import() = %+v, %v", results, err)
		}
		want := lanyard.ErrExists
		if first != ana {
			want = apikey.ErrHashTaken
		}
		if !errors.Is(results[0].Err, want) || len(b.history(t, ana))+len(b.history(t, bob)) != 1 {
			t.Errorf("Import() after %s's = %+v, want %v and one key", first.Subject, results[0], want)
		}
	}
}

// A store that fails in the middle says how far it went, and importing all of it
// again mends what is missing, the last use too.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	requests := []apikey.ImportRequest{
		{Owner: ana, Name: "a", Hash: hexHash("1")},
		{Owner: ana, Name: "b", Hash: hexHash("2"), LastUsedAt: start},
		{Owner: ana, Name: "c", Hash: hexHash("3")},
	}
	b.store.onUse = func(context.Context) error { return lanyard.ErrUnavailable }
	results, err := b.Import(t.Context(), requests)
	if !errors.Is(err, lanyard.ErrUnavailable) || len(results) != 1 {
		t.Errorf("Import() = %d results, %v, want one and ErrUnavailable", len(results), err)
	}
	b.store.onUse = nil
	results, err = b.Import(t.Context(), requests)
	if err != nil || len(results) != 3 || !errors.Is(results[1].Err, lanyard.ErrExists) || results[2].Err != nil {
		t.Errorf("the second Import() = %+v, %v", results, err)
	}
	key, err := b.Key(t.Context(), ana, results[1].Key.ID)
	if err != nil || !key.LastUsedAt.Equal(start) {
		t.Errorf("last used at %v (%v), want %v", key.LastUsedAt, err, start)
	}

	// The store takes the key and cannot say so.
	b.store.onCreate = func(error) error { return lanyard.ErrUnavailable }
	results, err = b.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "d", Hash: hexHash("4")}})
	if err != nil || results[0].Err != nil {
		t.Errorf("Import() whose answer was lost = %+v, %v, want the key", results, err)
	}
	b.store.onLookup = func(row store.KeyLookup, _ error) (store.KeyLookup, error) { return row, lanyard.ErrUnavailable }
	if results, err = b.Import(t.Context(), requests); !errors.Is(err, lanyard.ErrUnavailable) || len(results) != 0 {
		t.Errorf("Import() with the store down = %+v, %v, want ErrUnavailable", results, err)
	}
}

// With the key service down nothing is taken over: an unsigned row would be
// refused.
func TestImportIsSigned(t *testing.T) {
	t.Parallel()
	b, _, _ := newSigned(t)
	sealer, ks := newSealer(t, b.memory)
	ks.down.Store(true)
	other := newService(t, b.memory, &apikey.Options{Sealer: sealer, Now: b.clock.now})
	results, err := other.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "a", Hash: hexHash("1")}})
	if !errors.Is(err, lanyard.ErrUnavailable) || len(results) != 0 || len(b.history(t, ana)) != 0 {
		t.Errorf("Import() with the key service down = %+v, %v, want ErrUnavailable and nothing stored", results, err)
	}
}

// A key that ended in the first instant of Unix time has an end.
func TestImportOfWhatEndedIn1970(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{AcceptForeign: sanctum})
	results, err := b.Import(t.Context(), []apikey.ImportRequest{{
		Owner: ana, Name: "ci", Hash: hexHash("secret"), CreatedAt: time.Unix(-1, 0), ExpiresAt: time.Unix(0, 0),
	}})
	if err != nil || results[0].Err != nil || results[0].Key.Status != apikey.StatusExpired {
		t.Fatalf("Import() = %+v, %v, want an expired key", results, err)
	}
	b.wantRefused(t, "expired in 1970", "1|secret")
}

func TestForeignTokens(t *testing.T) {
	t.Parallel()
	var asked [][]byte
	b := newBench(t, &apikey.Options{Prefix: "aic", AcceptForeign: func(token string) (string, bool) {
		asked = append(asked, []byte(token))
		return sanctum(token)
	}})
	for text, want := range map[string]bool{
		"7|secret": true, "aic_": true, "": false, "secret": false, "|secret": false, "7|": false,
		"7|" + strings.Repeat("x", 510): true, "7|" + strings.Repeat("x", 511): false,
	} {
		if got := b.IsToken(text); got != want {
			t.Errorf("IsToken(%.20q) of %d bytes = %t, want %t", text, len(text), got, want)
		}
	}
	for _, token := range asked {
		if len(token) == 0 || len(token) > 512 || bytes.HasPrefix(token, []byte("aic_")) {
			t.Errorf("AcceptForeign was asked about %.20q of %d bytes", token, len(token))
		}
	}
	// A hash is no token.
	results, err := b.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "ci", Hash: hexHash("secret")}})
	if err != nil || results[0].Err != nil {
		t.Fatalf("Import() = %+v, %v", results, err)
	}
	for _, text := range []string{hexHash("secret"), "7|" + hexHash("secret"), "secret"} {
		if err := b.DeleteByToken(t.Context(), text); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("DeleteByToken(%q) = %v, want ErrNotFound", text, err)
		}
	}
	if err := b.DeleteByToken(t.Context(), "7|secret"); err != nil {
		t.Errorf("DeleteByToken() of the token = %v, want nil", err)
	}
}
