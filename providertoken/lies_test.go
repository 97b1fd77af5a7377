package providertoken_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

var updateVerdicts = flag.Bool("update", false, "write testdata/verdicts.txt anew")

// testdata/verdicts.txt says, for each platform and each way in which it can
// answer, what a save is worth. Who reads a change of it sees which promise
// moved.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const file = "testdata/verdicts.txt"
	w := newWorld(t, nil)
	hasty := newWorldOver(t, w, w.store)
	hasty.options.VerifyTimeout = 200 * time.Millisecond
	var err error
	hasty.tokens, err = providertoken.NewService(w.store, w.sealer, &hasty.options)
	ok(t, err)
	var (
		mu    sync.Mutex
		table = map[string]string{}
		group sync.WaitGroup
	)
	for _, definition := range slices.Sorted(maps.Keys(w.fakes)) {
		group.Go(func() {
			lines := w.verdicts(t, definition, hasty.tokens)
			mu.Lock()
			defer mu.Unlock()
			table[definition] = lines
		})
	}
	group.Wait()
	var b strings.Builder
	for _, definition := range slices.Sorted(maps.Keys(table)) {
		b.WriteString(table[definition])
	}
	if *updateVerdicts {
		ok(t, os.WriteFile(file, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	ok(t, err)
	got := strings.Split(b.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("%s:%d says\n%s\nand the answer was\n%s", file, i+1, line, got[min(i, len(got)-1)])
		}
	}
	if len(got) != len(strings.Split(string(want), "\n")) {
		t.Errorf("%s ends early: run with -update", file)
	}
}

// verdicts returns one platform's part of the table. hasty is asked where no
// answer comes.
func (w *world) verdicts(t *testing.T, definition string, hasty *providertoken.Service) string {
	t.Helper()
	var b strings.Builder
	line := func(what, secret string, lie providertest.Lie) {
		w.fakes[definition].Tell(lie)
		r := request(definition, secret)
		r.Label = what
		tokens := w.tokens
		if lie == providertest.Silent || lie == providertest.Stalled {
			tokens = hasty
		}
		token, err := tokens.Create(t.Context(), ana, r)
		var refused *providertoken.VerificationError
		switch {
		case err == nil && (token.Account == nil || token.Account.ID == ""):
			t.Errorf("%s, %s: ok without an identity", definition, what)
		case err == nil:
			end := "unknown"
			if !token.ExpiresAt.IsZero() {
				end = token.ExpiresAt.Format(time.DateOnly)
			}
			where := strings.TrimPrefix(token.Base, w.urls[definition])
			if where != "" {
				where = ", at " + where
			}
			fmt.Fprintf(&b, "%-18s %-16s ok as %s, %q, %q, until %s%s\n", definition, what, token.Account.ID, token.Account.Name, token.Account.Email, end, where)
			if err := w.tokens.Delete(t.Context(), ana, token.ID, 0); err != nil {
				t.Error(err)
			}
		case errors.As(err, &refused):
			fmt.Fprintf(&b, "%-18s %-16s %s\n", definition, what, strings.TrimSpace(string(refused.Verdict)+" "+refused.Reason))
		default:
			t.Errorf("%s, %s: %v", definition, what, err)
		}
	}
	line("the truth", anaSecret, providertest.Truth)
	if definition == "jira-cloud" || definition == "confluence-cloud" {
		line("with scopes", scopedSecret, providertest.Truth)
	}
	line("unknown token", "canary-unknown-5gHj", providertest.Truth)
	for _, lie := range providertest.Lies() {
		line(string(lie), anaSecret, lie)
	}
	return b.String()
}

// Each platform of the catalogue has a fake, and is in the table.
func TestEachPlatformHasAFake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, d := range catalog.All() {
		if w.fakes[d.ID] == nil {
			t.Errorf("%s has no fake", d.ID)
		}
	}
}

// A refusal leaves nothing behind, whatever the platform said.
func TestARefusalLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for definition, fake := range w.fakes {
		fake.Tell(providertest.Revoked)
		if _, err := w.tokens.Create(t.Context(), ana, request(definition, anaSecret)); err == nil {
			t.Errorf("%s: a revoked token was stored", definition)
		}
	}
	tokens, err := w.tokens.Tokens(t.Context(), ana)
	if err != nil || len(tokens) != 0 || len(w.actions()) != 0 {
		t.Errorf("after refusals there are %d connections and events %v (%v)", len(tokens), w.actions(), err)
	}
}

// Where the platform does not prove whose the credential is, it can be kept
// unverified, and never be more than that.
func TestADefinitionThatCannotVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *providertoken.Options) {
		d := acme("X-Key")
		d.Instance = providertoken.InstanceSpec{Mode: providertoken.ModeFixed, Base: "https://api.acme.example"}
		d.Verify, d.Unverifiable = nil, true
		o.Providers = append(o.Providers, d)
	})
	for _, p := range w.tokens.Providers() {
		if p.Unverifiable != (p.ID == "acme") {
			t.Errorf("Providers says of %s that it is unverifiable: %v", p.ID, p.Unverifiable)
		}
	}
	r := providertoken.CreateRequest{ProviderID: "acme", Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret(anaSecret)}}
	_, err := w.tokens.Create(t.Context(), ana, r)
	if v, reason := verdict(t, err); v != providertoken.VerdictUnreachable || reason != "not_verifiable" {
		t.Errorf("Create = %s %s, want unreachable not_verifiable", v, reason)
	}
	r.AllowUnverified = true
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	got, err := w.tokens.Verify(t.Context(), ana, token.ID)
	ok(t, err)
	if token.Status != providertoken.StatusUnverified || got.Verdict != providertoken.VerdictUnreachable || got.Account != nil {
		t.Errorf("the connection is %s and Verify says %+v", token.Status, got)
	}
}

// GitHub's secondary limits are answered with 403 too, by a message alone, and
// say nothing against a token.
func TestGitHubsSecondaryLimit(t *testing.T) {
	t.Parallel()
	const message = `{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`
	header, body := http.Header{}, message
	server, err := providertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-RateLimit-Remaining", "14")
		maps.Copy(w.Header(), header)
		says(403, "application/json", body)(w, r)
	}))
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	for _, d := range catalog.All() {
		if d.ID != "github" && d.ID != "github-enterprise" {
			continue
		}
		verdict := func() providertoken.Verdict {
			v, err := providertoken.Try(t.Context(), d, providertoken.Instance{
				ID: "x", Provider: d.ID, Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
			}, request(d.ID, anaSecret))
			ok(t, err)
			return v.Verdict
		}
		header, body = http.Header{}, message
		said := verdict()
		header, body = http.Header{"Retry-After": {"60"}}, `{"message": "Later."}`
		after := verdict()
		header, body = http.Header{}, `{"message": "Resource not accessible by personal access token"}`
		if right := verdict(); said != providertoken.VerdictRateLimited || after != said || right != providertoken.VerdictInsufficientScope {
			t.Errorf("%s: by its message %s, by Retry-After %s, for want of a right %s", d.ID, said, after, right)
		}
	}
}

// What Slack says of itself is not held against a token.
func TestSlacksOwnTroubles(t *testing.T) {
	t.Parallel()
	body := ""
	server, err := providertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		says(200, "application/json", body)(w, r)
	}))
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	slack := catalog.All()[slices.IndexFunc(catalog.All(), func(d providertoken.Definition) bool { return d.ID == "slack" })]
	for trouble, want := range map[string]providertoken.Verdict{
		"service_unavailable": providertoken.VerdictUnreachable, "request_timeout": providertoken.VerdictUnreachable,
		"team_added_to_org": providertoken.VerdictUnreachable, "invalid_auth": providertoken.VerdictInvalid,
	} {
		body = `{"ok": false, "error": "` + trouble + `"}`
		v, err := providertoken.Try(t.Context(), slack, providertoken.Instance{
			ID: "x", Provider: "slack", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
		}, request("slack", anaSecret))
		if err != nil || v.Verdict != want {
			t.Errorf("%s: %s, %v, want %s", trouble, v.Verdict, err, want)
		}
	}
}
