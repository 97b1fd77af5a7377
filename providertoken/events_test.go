package providertoken_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

// Every change is in the history, once, with who made it and from where; and
// what OnEvent hears is what is stored.
func TestEveryChangeIsInTheHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	admin := lanyard.Owner{Tenant: "acme", Subject: "admin"}
	ctx := lanyard.WithPrincipal(t.Context(), lanyard.Principal{Owner: admin, Via: lanyard.ViaSession})
	ctx = lanyard.WithRequest(ctx, lanyard.Request{ID: "req-1", IP: "192.0.2.7", UserAgent: "test"})
	fake := w.fakes["jira-data-center"]

	r := request("jira-data-center", anaSecret)
	r.Label = "work"
	token, err := w.tokens.Create(ctx, ana, r)
	ok(t, err)
	w.clock.Add(time.Minute)
	label := "home"
	ok(t, errOf(w.tokens.Update(ctx, ana, token.ID, providertoken.UpdateRequest{Label: &label})))
	w.clock.Add(time.Minute)
	ok(t, errOf(w.tokens.Verify(ctx, ana, token.ID)))
	w.clock.Add(time.Minute)
	ok(t, errOf(w.tokens.Client(ctx, ana, ref, &providertoken.Use{AgentID: "planner", Purpose: "report"})))
	w.clock.Add(time.Minute)
	fake.Tell(providertest.Captcha)
	ok(t, errOf(w.tokens.Verify(ctx, ana, token.ID)))
	w.clock.Add(time.Minute)
	ok(t, w.tokens.Delete(ctx, ana, token.ID, 0))

	stored, err := w.store.Events(t.Context(), ana, store.EventCursor{}, 100)
	ok(t, err)
	slices.Reverse(stored) // oldest first
	want := []struct {
		action string
		detail map[string]string
	}{
		{providertoken.ActionCreated, map[string]string{"label": "work"}},
		{providertoken.ActionUpdated, map[string]string{"label": "home"}},
		{providertoken.ActionVerified, map[string]string{"label": "home"}},
		{providertoken.ActionUsed, map[string]string{"label": "home", "agent": "planner", "purpose": "report"}},
		{providertoken.ActionNeedsAttention, map[string]string{"label": "home", "verdict": "invalid"}},
		{providertoken.ActionDeleted, map[string]string{"label": "home"}},
	}
	if len(stored) != len(want) || len(w.events) != len(want) {
		t.Fatalf("%d events stored and %d heard, want %d", len(stored), len(w.events), len(want))
	}
	for i, e := range stored {
		want[i].detail["provider"] = ref.Provider
		if e.Action != want[i].action || e.Object != token.ID || len(e.Detail) != len(want[i].detail) {
			t.Errorf("event %d is %s of %s with %v, want %s with %v", i, e.Action, e.Object, e.Detail, want[i].action, want[i].detail)
		}
		for key, value := range want[i].detail {
			if e.Detail[key] != value {
				t.Errorf("%s says %s = %q, want %q", e.Action, key, e.Detail[key], value)
			}
		}
		if e.Owner != ana || e.Actor != admin || e.Via != lanyard.ViaSession || e.RequestID != "req-1" || e.IP != "192.0.2.7" || e.UserAgent != "test" {
			t.Errorf("%s was made by %+v", e.Action, e)
		}
		if e.ID != w.events[i].ID {
			t.Errorf("event %d was heard as %s", i, w.events[i].Action)
		}
	}
}
