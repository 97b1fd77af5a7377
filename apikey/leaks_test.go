package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

func leak(token string) apikey.Leak {
	return apikey.Leak{Token: lanyard.NewSecret(token), Source: "github/commit", URL: "https://user:hunter-2@GitHub.com:443/o/r/blob/c/.env?t=" + token + "#" + token}
}

func TestReportLeaks(t *testing.T) {
	t.Parallel()
	forStores(t, func(t *testing.T, open func() store.Store) {
		st, heard, clock := open(), new(heard), newClock()
		sealer, _ := newSealer(t, st)
		options := apikey.Options{Prefix: "aic", Sealer: sealer, Now: clock.now, OnEvent: heard.hear, AcceptForeign: sanctum}
		b := &bench{Service: newService(t, st, &options), clock: clock, heard: heard}
		live, token := b.create(t, ana, apikey.CreateRequest{})
		expired, old := b.create(t, bob, apikey.CreateRequest{ExpiresAt: start.Add(time.Hour)})
		gone, dead := b.create(t, ana, apikey.CreateRequest{})
		if err := b.Delete(t.Context(), ana, gone.ID, 0); err != nil {
			t.Fatal(err)
		}
		imported, err := b.Import(t.Context(), []apikey.ImportRequest{{Owner: bob, Name: "old ci", Hash: hexHash("canary")}})
		if err != nil {
			t.Fatal(err)
		}
		clock.advance(2 * time.Hour)

		never := token[:14] + strings.Repeat("x", 30)
		never += apikey.Checksum(never)
		tokens := []string{token, old, dead, "9|canary", never, token[:49] + "-", "ghp_something", "", token}
		want := []apikey.LeakResult{
			{Verdict: apikey.LeakDeleted, Owner: ana, KeyID: live.ID},
			{Verdict: apikey.LeakDeleted, Owner: bob, KeyID: expired.ID},
			{Verdict: apikey.LeakDeletedBefore, Owner: ana, KeyID: gone.ID},
			{Verdict: apikey.LeakDeleted, Owner: bob, KeyID: imported[0].Key.ID},
			{Verdict: apikey.LeakUnknown},
			{Verdict: apikey.LeakUnknown},
			{Verdict: apikey.LeakUnknown},
			{Verdict: apikey.LeakUnknown},
			{Verdict: apikey.LeakDeletedBefore, Owner: ana, KeyID: live.ID},
		}
		var leaks []apikey.Leak
		for _, text := range tokens {
			leaks = append(leaks, leak(text))
		}
		got, err := b.ReportLeaks(t.Context(), leaks)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("ReportLeaks() = %v, %v, want %v", got, err, want)
		}
		b.wantRefused(t, "a leaked key", token)

		events := append(historyOf(t, st, ana, apikey.ActionLeaked), historyOf(t, st, bob, apikey.ActionLeaked)...)
		if len(events) != 3 {
			t.Errorf("%d events of leaks, want one for each key that was deleted now: %+v", len(events), events)
		}
		for _, e := range events {
			if e.Detail[apikey.DetailSource] != "github/commit" || e.Detail[apikey.DetailHost] != "github.com" || e.Detail[apikey.DetailName] == "" || e.Via != lanyard.ViaSystem {
				t.Errorf("the event is %+v, want source, host and name", e)
			}
			text := fmt.Sprintf("%+v", e)
			for _, secret := range append(tokens, "hunter-2", ".env", "canary") {
				if secret != "" && strings.Contains(text, secret) {
					t.Errorf("the event %s holds %q", text, secret)
				}
			}
		}
		if n := len(historyOf(t, st, ana, apikey.ActionDeleted)); n != 1 {
			t.Errorf("the history tells of %d deletions, want the one before", n)
		}
		row, err := st.APIKeyByID(t.Context(), live.ID)
		if err != nil || row.DeletedAt.IsZero() || len(row.MAC) == 0 {
			t.Errorf("the tombstone is %+v (%v), want a signed one", row, err)
		}

		// Again: the same answer, and nothing more in the history.
		for i, r := range want {
			if r.Verdict == apikey.LeakDeleted {
				want[i].Verdict = apikey.LeakDeletedBefore
			}
		}
		if _, err := b.Keys(t.Context(), ana); err != nil { // which stores what verifications noted
			t.Fatal(err)
		}
		before := len(heard.actions())
		if got, err := b.ReportLeaks(t.Context(), leaks); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the second ReportLeaks() = %v, %v, want %v", got, err, want)
		}
		if after := len(heard.actions()); after != before {
			t.Errorf("the second report was heard of %d times", after-before)
		}
	})
}

// What a finder says goes into the history only if it can hold no secret.
func TestLeakWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ source, url, wantSource, wantHost string }{
		{"GitHub/Commit", "https://github.com/o/r", "github/commit", "github.com"},
		{"", "", "", ""},
		{"npm", "https://[2001:db8::1]:8080/x", "npm", "2001:db8::1"},
		{strings.Repeat("a", 64), "HTTPS://EXAMPLE.COM", strings.Repeat("a", 64), "example.com"},
		{strings.Repeat("a", 65), "https://" + strings.Repeat("a", 254), "", ""},
		{"a b", "https://a b/", "", ""},
		{"<b>", "https://exa_mple.com", "", ""},
		{"TOKEN", "https://TOKEN.example/", "", ""},
		{"x/TOKEN", "//TOKEN", "", ""},
		{"a\nb", "::", "", ""},
		{"é", "https://é.example/", "", ""},
		{"github.com", "github.com/o/r", "github.com", ""},
	} {
		b := newBench(t, &apikey.Options{AcceptForeign: func(token string) (string, bool) { return token, true }})
		if _, err := b.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "ci", Hash: hexHash("TOKEN")}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReportLeaks(t.Context(), []apikey.Leak{{Token: lanyard.NewSecret("TOKEN"), Source: tt.source, URL: tt.url}}); err != nil {
			t.Fatal(err)
		}
		events := historyOf(t, b.memory, ana, apikey.ActionLeaked)
		if len(events) != 1 {
			t.Fatalf("%d events, want 1", len(events))
		}
		if d := events[0].Detail; d[apikey.DetailSource] != tt.wantSource || d[apikey.DetailHost] != tt.wantHost {
			t.Errorf("source %q and URL %q are kept as %q and %q, want %q and %q", tt.source, tt.url, d[apikey.DetailSource], d[apikey.DetailHost], tt.wantSource, tt.wantHost)
		}
	}
}

// A leak that is printed shows no token.
func TestLeakIsRedacted(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf("%v %+v %#v", leak("canary"), []apikey.Leak{{Token: lanyard.NewSecret("canary")}}, &apikey.Leak{Token: lanyard.NewSecret("canary")})
	if strings.Contains(strings.ReplaceAll(text, "?t=canary#canary", ""), "canary") {
		t.Errorf("a leak is printed as %s", text)
	}
}

// Neither a forged row nor a key service that is down keeps a leaked key alive.
func TestLeakOfAForgedRow(t *testing.T) {
	t.Parallel()
	b, _, log := newSigned(t)
	forger := newService(t, b.memory, &apikey.Options{Prefix: "aic"})
	forged, err := forger.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	sealer, ks := newSealer(t, b.memory)
	_, token := b.create(t, bob, apikey.CreateRequest{})
	ks.down.Store(true)
	other := newService(t, b.memory, &apikey.Options{Prefix: "aic", Sealer: sealer})
	results, err := other.ReportLeaks(t.Context(), []apikey.Leak{leak(forged.Secret.Reveal()), leak(token)})
	if err != nil || len(results) != 2 || results[0].Verdict != apikey.LeakDeleted || results[1].Verdict != apikey.LeakDeleted {
		t.Errorf("ReportLeaks() = %v, %v, want both deleted", results, err)
	}
	b.wantRefused(t, "the leaked key", token)
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		row.Key.DeletedAt = time.Time{}
		return row, err
	}
	b.wantRefused(t, "the leaked key, revived", token)
	b.wantRefused(t, "the forged key, revived", forged.Secret.Reveal())
	if strings.Count(log.String(), alarm) != 2 {
		t.Errorf("two revived keys logged %q, want two alarms", log)
	}
}

func TestDeleteByToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Prefix: "aic"})
	key, token := b.create(t, ana, apikey.CreateRequest{})
	other, good := b.create(t, ana, apikey.CreateRequest{})
	gone, dead := b.create(t, ana, apikey.CreateRequest{})
	if err := b.Delete(t.Context(), ana, gone.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteByToken(t.Context(), token); err != nil {
		t.Errorf("DeleteByToken() = %v, want nil", err)
	}
	b.wantRefused(t, "a key that was deleted by its token", token)
	b.wantGood(t, "the other key "+other.ID, good)
	events := historyOf(t, b.memory, ana, apikey.ActionDeleted)
	if len(events) != 2 || events[0].Object != key.ID && events[1].Object != key.ID {
		t.Fatalf("the history tells %+v", events)
	}
	for _, e := range events {
		if (e.Via == lanyard.ViaAPIKey) != (e.Object == key.ID) || e.Actor != ana {
			t.Errorf("the event is %+v, want by API key only what was deleted by its token", e)
		}
	}

	// All that is not a live key is one thing.
	never := "aic_0000000000" + strings.Repeat("x", 30)
	never += apikey.Checksum(never)
	for what, text := range map[string]string{
		"again": token, "deleted before": dead, "never": never, "malformed": token + "x", "empty": "", "another system's": "ghp_x",
	} {
		err := b.DeleteByToken(t.Context(), text)
		if !errors.Is(err, lanyard.ErrNotFound) || err.Error() != "apikey: delete by token: not found" {
			t.Errorf("%s: DeleteByToken() = %v, want one ErrNotFound for all", what, err)
		}
	}
	b.store.onLookup = func(row store.KeyLookup, _ error) (store.KeyLookup, error) { return row, errors.New("driver: host=db") }
	if err := b.DeleteByToken(t.Context(), good); !errors.Is(err, lanyard.ErrUnavailable) || strings.Contains(err.Error(), "db") {
		t.Errorf("DeleteByToken() with the store down = %v, want ErrUnavailable without the driver's words", err)
	}
}

// However many report a token, one deletes it.
func TestReportedAtOnce(t *testing.T) {
	t.Parallel()
	forStores(t, func(t *testing.T, open func() store.Store) {
		heard := new(heard)
		first := newService(t, open(), &apikey.Options{Prefix: "aic", OnEvent: heard.hear})
		made, err := first.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		verdicts := make(chan apikey.LeakVerdict, 16)
		for range 3 {
			s := newService(t, open(), &apikey.Options{Prefix: "aic", OnEvent: heard.hear})
			for range 4 {
				wg.Go(func() {
					results, err := s.ReportLeaks(t.Context(), []apikey.Leak{leak(made.Secret.Reveal())})
					if err != nil || len(results) != 1 {
						t.Errorf("ReportLeaks() = %v, %v", results, err)
						return
					}
					verdicts <- results[0].Verdict
				})
			}
		}
		wg.Wait()
		close(verdicts)
		count := map[apikey.LeakVerdict]int{}
		for v := range verdicts {
			count[v]++
		}
		if count[apikey.LeakDeleted] != 1 || count[apikey.LeakDeletedBefore] != 11 {
			t.Errorf("the verdicts are %v, want one that deleted and 11 that came late", count)
		}
		if got := fmt.Sprint(heard.actions()); got != "[api_key.created api_key.leaked]" {
			t.Errorf("heard %s", got)
		}
	})
}

// A report whose time ends while a key is being deleted has this process refuse
// the key all the same, and says that it was deleted.
func TestReportThatEndsWithADeletion(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour})
	_, token := b.create(t, ana, apikey.CreateRequest{})
	b.wantGood(t, "before the report", token)
	ctx, cancel := context.WithCancel(t.Context())
	b.store.onDelete = func(err error) error {
		cancel()
		return err
	}
	results, err := b.ReportLeaks(ctx, []apikey.Leak{leak(token), leak(token)})
	if !errors.Is(err, lanyard.ErrUnavailable) || len(results) != 1 || results[0].Verdict != apikey.LeakDeleted {
		t.Errorf("ReportLeaks() = %v, %v, want the one that was deleted and ErrUnavailable", results, err)
	}
	b.wantRefused(t, "a leaked key whose report ended", token)
}
