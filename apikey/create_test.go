package apikey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Prefix: "aic", Scopes: []string{"write", "read", "admin"}})
	ctx := lanyard.WithRequest(lanyard.WithPrincipal(t.Context(), lanyard.Principal{Owner: ana}),
		lanyard.Request{ID: "r1", IP: "192.0.2.1", UserAgent: "curl"})
	expires := start.Add(48*time.Hour + 1500*time.Nanosecond).In(time.FixedZone("", 3600))
	created, err := b.Create(ctx, ana, apikey.CreateRequest{
		Name: "  my laptop ", ExpiresAt: expires, Scopes: []string{"write", "read", "write"},
	})
	if err != nil {
		t.Fatalf("Create() = %v, want nil", err)
	}
	k := created.Key
	want := apikey.Key{
		ID: k.ID, Version: 1, Name: "my laptop", Hint: "aic_" + k.ID, Scopes: []string{"read", "write"},
		Status: apikey.StatusExpiring, CreatedAt: start, ExpiresAt: start.Add(48*time.Hour + time.Microsecond),
	}
	if fmt.Sprint(k) != fmt.Sprint(want) || created.Replayed {
		t.Errorf("Create() = %+v, want %+v", k, want)
	}
	stored, err := b.Key(ctx, ana, k.ID)
	if err != nil || fmt.Sprint(stored) != fmt.Sprint(want) {
		t.Errorf("Key() = %+v, %v, want what Create returned", stored, err)
	}

	events := b.history(t, ana)
	if len(events) != 1 {
		t.Fatalf("the history has %d events, want 1", len(events))
	}
	e := events[0]
	if e.Action != apikey.ActionCreated || e.Object != k.ID || e.Detail[apikey.DetailName] != "my laptop" ||
		e.Actor != ana || e.Via != lanyard.ViaSession || e.IP != "192.0.2.1" || e.RequestID != "r1" || !e.At.Equal(start) {
		t.Errorf("event = %+v, want who created what from where", e)
	}
	if got := b.heard.actions(); !slices.Equal(got, []string{apikey.ActionCreated}) {
		t.Errorf("OnEvent heard %v, want the creation", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	const required, invalid, tooLong = lanyard.CodeRequired, lanyard.CodeInvalid, lanyard.CodeTooLong
	b := newBench(t, &apikey.Options{Limit: -1})
	key, _ := b.create(t, ana, apikey.CreateRequest{Name: "old"})
	for name, code := range map[string]string{
		"":                             required,
		" \t\n":                        required,
		strings.Repeat("é", 101):       tooLong,
		"a\x00":                        invalid,
		"a\xff":                        invalid,
		"a\u202eb":                     invalid,
		"\u200b\u200c":                 invalid,
		"\u200d":                       invalid,
		"a\nb":                         invalid,
		"a\u2028b":                     invalid,
		"a\U000e0041":                  invalid,
		"x":                            "",
		strings.Repeat("é", 100):       "",
		"<script>alert(1)</script>":    "",
		"'; DROP TABLE lanyard_keys;-": "",
		"{{.}}":                        "",
		"👨‍👩‍👧":                        "",
	} {
		_, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: name})
		_, renameErr := b.Rename(t.Context(), ana, key.ID, 0, name)
		if code == "" {
			if err != nil || renameErr != nil {
				t.Errorf("Create and Rename with name %q = %v, %v, want nil", name, err, renameErr)
			}
			continue
		}
		wantInput(t, fmt.Sprintf("Create with name %.20q", name), err, "name", code)
		wantInput(t, fmt.Sprintf("Rename to %.20q", name), renameErr, "name", code)
		if len(name) > 3 && (strings.Contains(err.Error(), name) || strings.Contains(renameErr.Error(), name)) {
			t.Errorf("the refusal of %.20q repeats it", name)
		}
	}
}

func TestExpiryIsChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Limit: -1})
	for _, good := range []time.Time{
		{},
		start.Add(time.Microsecond),
		start.Add(time.Hour),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(10000, 1, 1, 10, 0, 0, 0, time.FixedZone("", 14*3600)),
	} {
		b.create(t, ana, apikey.CreateRequest{ExpiresAt: good})
	}
	for _, bad := range []time.Time{
		start,
		start.Add(999 * time.Nanosecond), // nothing is left of it
		start.Add(-time.Hour),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC),
		time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC),
		time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		_, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "x", ExpiresAt: bad})
		wantInput(t, "Create with expiry "+bad.String(), err, "expires_at", lanyard.CodeInvalid)
	}
	if n := len(b.history(t, ana)); n != 5 {
		t.Errorf("the history has %d events, want one of each key and none of a refusal", n)
	}
}

func TestScopesAreChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Scopes: []string{"read", "write"}})
	for _, scopes := range [][]string{{"admin"}, {"read", "admin"}, {""}, {"READ"}, {"read "}, {"re"}} {
		_, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "x", Scopes: scopes})
		wantInput(t, fmt.Sprintf("Create with scopes %q", scopes), err, "scopes", lanyard.CodeUnknown)
	}
	for _, bad := range []string{"", " ", "a b", "é", "a\"", "a\\", "a\n", strings.Repeat("x", 101)} {
		_, err := apikey.NewService(b.store, &apikey.Options{Scopes: []string{"read", bad}})
		wantInput(t, fmt.Sprintf("NewService with scope %.20q", bad), err, "scopes", lanyard.CodeInvalid)
	}
	got := b.Scopes()
	got[0] = "admin"
	if !slices.Equal(b.Scopes(), []string{"read", "write"}) {
		t.Errorf("Scopes() = %v after its result was changed, want what was declared", b.Scopes())
	}
	_, token := b.create(t, ana, apikey.CreateRequest{})
	if p := b.wantGood(t, "a key without scopes", token); p.HasScope("read") {
		t.Error("a key without scopes has one")
	}
}

func TestCreateSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, err := b.Create(t.Context(), ana, apikey.CreateRequest{
		ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), Scopes: []string{"x"}, IdempotencyKey: "\x00",
	})
	for _, field := range []string{"name", "expires_at", "scopes", "idempotency_key"} {
		if err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("Create() = %v, want it to name %s", err, field)
		}
	}
	_, err = b.Create(t.Context(), lanyard.Owner{Tenant: "acme"}, apikey.CreateRequest{Name: "x"})
	wantInput(t, "Create for nobody", err, "owner", lanyard.CodeRequired)
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for configured, want := range map[int]int{0: 50, 3: 3} {
		b := newBench(t, &apikey.Options{Limit: configured})
		if b.Limit() != want {
			t.Errorf("Limit() = %d, want %d", b.Limit(), want)
		}
		var last apikey.Key
		for range want {
			last, _ = b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(time.Hour)})
		}
		b.clock.advance(2 * time.Hour) // expired keys count
		if _, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"}); !errors.Is(err, lanyard.ErrLimit) {
			t.Errorf("Create() of key %d = %v, want ErrLimit", want+1, err)
		}
		b.create(t, bob, apikey.CreateRequest{}) // one owner's limit is no other's
		if err := b.Delete(t.Context(), ana, last.ID, 0); err != nil {
			t.Fatalf("Delete() = %v, want nil", err)
		}
		b.create(t, ana, apikey.CreateRequest{}) // deleted ones do not
	}
	b := newBench(t, &apikey.Options{Limit: -1})
	for range 60 {
		b.create(t, ana, apikey.CreateRequest{})
	}
}

func TestLimitHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Limit: 2})
	b.create(t, ana, apikey.CreateRequest{})
	errs := atOnce(50, func(int) error {
		_, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"})
		return err
	})
	succeeded := 0
	for _, err := range errs {
		switch {
		case err == nil:
			succeeded++
		case !errors.Is(err, lanyard.ErrLimit):
			t.Errorf("Create() = %v, want nil or ErrLimit", err)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d of 50 creations at limit-1 succeeded, want 1", succeeded)
	}
}

// atOnce runs fn n times at once.
func atOnce(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	ready := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-ready
			errs[i] = fn(i)
		})
	}
	close(ready)
	wg.Wait()
	return errs
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Scopes: []string{"read", "write"}, Limit: 2})
	request := apikey.CreateRequest{
		Name: "laptop", ExpiresAt: start.Add(time.Hour), Scopes: []string{"read", "write"}, IdempotencyKey: "nonce 1",
	}
	first, err := b.Create(t.Context(), ana, request)
	if err != nil || first.Replayed || first.Secret.IsZero() {
		t.Fatalf("Create() = %+v, %v, want a fresh key", first, err)
	}
	b.create(t, ana, apikey.CreateRequest{}) // the limit is reached: a replay needs no room

	same := request
	same.Name, same.Scopes = " laptop ", []string{"write", "read", "read"}
	for _, again := range []apikey.CreateRequest{request, same} {
		got, err := b.Create(t.Context(), ana, again)
		if err != nil || !got.Replayed || !got.Secret.IsZero() || got.Key.ID != first.Key.ID {
			t.Errorf("Create() repeated = %+v, %v, want the first key without its secret", got, err)
		}
	}
	b.clock.advance(2 * time.Hour)
	if got, err := b.Create(t.Context(), ana, request); err != nil || !got.Replayed || got.Key.Status != apikey.StatusExpired {
		t.Errorf("Create() repeated after the key expired = %+v, %v, want the first key", got, err)
	}
	if n := len(b.history(t, ana)); n != 2 {
		t.Errorf("the history has %d events, want none of the replays", n)
	}

	for what, change := range map[string]func(*apikey.CreateRequest){
		"name":           func(r *apikey.CreateRequest) { r.Name = "desktop" },
		"expiry":         func(r *apikey.CreateRequest) { r.ExpiresAt = start.Add(3 * time.Hour) },
		"no expiry":      func(r *apikey.CreateRequest) { r.ExpiresAt = time.Time{} },
		"scopes":         func(r *apikey.CreateRequest) { r.Scopes = []string{"read"} },
		"no scopes":      func(r *apikey.CreateRequest) { r.Scopes = nil },
		"shifted scopes": func(r *apikey.CreateRequest) { r.Name, r.Scopes = "laptopread", []string{"write"} },
	} {
		other := request
		change(&other)
		_, err := b.Create(t.Context(), ana, other)
		if !errors.Is(err, apikey.ErrIdempotencyMismatch) || !errors.Is(err, lanyard.ErrConflict) {
			t.Errorf("Create() with the key of another request (%s) = %v, want ErrIdempotencyMismatch", what, err)
		}
	}

	// Another owner's nonce is another nonce.
	fresh := request
	fresh.ExpiresAt = time.Time{}
	if got, err := b.Create(t.Context(), bob, fresh); err != nil || got.Replayed {
		t.Errorf("Create() by another owner = %+v, %v, want a fresh key", got, err)
	}

	if err := b.Delete(t.Context(), ana, first.Key.ID, 0); err != nil {
		t.Fatalf("Delete() = %v, want nil", err)
	}
	_, err = b.Create(t.Context(), ana, request)
	if !errors.Is(err, lanyard.ErrConflict) || errors.Is(err, apikey.ErrIdempotencyMismatch) {
		t.Errorf("Create() repeated after the key was deleted = %v, want ErrConflict", err)
	}
}

func TestIdempotencyKeyIsChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.create(t, ana, apikey.CreateRequest{IdempotencyKey: strings.Repeat("~", 255)})
	for key, code := range map[string]string{
		strings.Repeat("x", 256): lanyard.CodeTooLong,
		"a\n":                    lanyard.CodeInvalid,
		"a\x7f":                  lanyard.CodeInvalid,
		"é":                      lanyard.CodeInvalid,
	} {
		_, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "x", IdempotencyKey: key})
		wantInput(t, fmt.Sprintf("Create with IdempotencyKey %.20q", key), err, "idempotency_key", code)
	}
}

// Of two requests with one IdempotencyKey that arrive together one makes a key,
// also when neither sees the other's before it creates its own.
func TestIdempotencyKeyRace(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var mu sync.Mutex
	fresh, ids := 0, map[string]bool{}
	errs := atOnce(50, func(int) error {
		c, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "x", IdempotencyKey: "one"})
		mu.Lock()
		defer mu.Unlock()
		ids[c.Key.ID] = true
		if !c.Secret.IsZero() {
			fresh++
		}
		return err
	})
	if err := errors.Join(errs...); err != nil || fresh != 1 || len(ids) != 1 {
		t.Errorf("50 creations with one IdempotencyKey: %v, %d secrets and %d keys, want 1 of each", err, fresh, len(ids))
	}

	// The other request wins between our look and our creation.
	late := newBench(t, nil)
	other := newService(t, late.memory, &apikey.Options{Now: late.clock.now})
	var won apikey.Created
	late.store.Store = &raced{Store: late.memory, before: func() {
		var err error
		if won, err = other.Create(t.Context(), ana, apikey.CreateRequest{Name: "x", IdempotencyKey: "one"}); err != nil {
			t.Errorf("Create() of the other = %v, want nil", err)
		}
	}}
	lost, err := late.Create(t.Context(), ana, apikey.CreateRequest{Name: "x", IdempotencyKey: "one"})
	if err != nil || !lost.Replayed || !lost.Secret.IsZero() || lost.Key.ID != won.Key.ID {
		t.Errorf("Create() that lost the race = %+v, %v, want the other's key without its secret", lost, err)
	}
	_, err = late.Create(t.Context(), ana, apikey.CreateRequest{Name: "y", IdempotencyKey: "one"})
	if !errors.Is(err, apikey.ErrIdempotencyMismatch) {
		t.Errorf("Create() of something else = %v, want ErrIdempotencyMismatch", err)
	}
}

// A commit of which the store does not know whether it arrived is looked up by
// the id we chose.
func TestCreateAfterAnUnknownCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store.onCreate = func(error) error { return fmt.Errorf("connection lost: %w", lanyard.ErrUnavailable) }
	key, token := b.create(t, ana, apikey.CreateRequest{})
	b.wantGood(t, "a key whose commit arrived", token)
	if keys, err := b.Keys(t.Context(), ana); err != nil || len(keys) != 1 || keys[0].ID != key.ID {
		t.Errorf("Keys() = %v, %v, want the one key", keys, err)
	}
	if got := b.heard.actions(); !slices.Equal(got, []string{apikey.ActionCreated}) {
		t.Errorf("OnEvent heard %v, want the creation", got)
	}

	down := newBench(t, nil)
	down.store.Store = &raced{Store: down.memory, fails: lanyard.ErrUnavailable}
	if c, err := down.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"}); !errors.Is(err, lanyard.ErrUnavailable) || !c.Secret.IsZero() {
		t.Errorf("Create() at a store that is down = %+v, %v, want ErrUnavailable and no secret", c, err)
	}
	if got := down.heard.actions(); got != nil {
		t.Errorf("OnEvent heard %v of a creation that failed", got)
	}
	if n := len(down.history(t, ana)); n != 0 {
		t.Errorf("a creation that failed left %d events", n)
	}
}

func TestCreateHonoursItsContext(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Create(ctx, ana, apikey.CreateRequest{Name: "x"})
	if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Create() with a cancelled context = %v, want ErrUnavailable and context.Canceled", err)
	}
	if n := len(b.history(t, ana)); n != 0 {
		t.Errorf("a cancelled creation left %d events", n)
	}
}

// Nothing that prints shows the secret of a key.
func TestCreatedDoesNotPrint(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	created, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	secret := created.Secret.Reveal()[14:]
	encoded, err := json.Marshal(created)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", slog.Any("created", created))
	texts := []string{string(encoded), logged.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		texts = append(texts, fmt.Sprintf(verb, created))
	}
	for _, text := range texts {
		if strings.Contains(text, secret) {
			t.Errorf("%q shows the secret", text)
		}
	}
}
