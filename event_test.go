package lanyard_test

import (
	"maps"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
)

var (
	ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	bob = lanyard.Owner{Tenant: "acme", Subject: "bob"}
	at  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestNewEvent(t *testing.T) {
	t.Parallel()
	request := lanyard.Request{ID: "req-1", IP: "203.0.113.7", UserAgent: "curl/8"}
	for name, tt := range map[string]struct {
		principal *lanyard.Principal
		want      lanyard.Event
	}{
		"nobody in the context": {nil, lanyard.Event{Actor: ana, Via: lanyard.ViaSystem}},
		"the owner's session":   {&lanyard.Principal{Owner: ana}, lanyard.Event{Actor: ana, Via: lanyard.ViaSession}},
		"somebody else":         {&lanyard.Principal{Owner: bob, Via: lanyard.ViaSession}, lanyard.Event{Actor: bob, Via: lanyard.ViaSession}},
		"the host":              {&lanyard.Principal{Owner: bob, Via: lanyard.ViaSystem}, lanyard.Event{Actor: bob, Via: lanyard.ViaSystem}},
		"a key": {
			&lanyard.Principal{Owner: ana, Via: lanyard.ViaAPIKey, KeyID: "k1"},
			lanyard.Event{Actor: ana, Via: lanyard.ViaAPIKey, Detail: map[string]string{"key_id": "k1"}},
		},
	} {
		ctx := lanyard.WithRequest(t.Context(), request)
		if tt.principal != nil {
			ctx = lanyard.WithPrincipal(ctx, *tt.principal)
		}
		got := lanyard.NewEvent(ctx, at, ana, "thing.done", "object-1")
		want := tt.want
		want.ID, want.At, want.Owner, want.Action, want.Object = got.ID, at, ana, "thing.done", "object-1"
		want.RequestID, want.IP, want.UserAgent = request.ID, request.IP, request.UserAgent
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: NewEvent() = %+v, want %+v", name, got, want)
		}
		if !idPattern.MatchString(got.ID) {
			t.Errorf("%s: NewEvent().ID = %q, want a fresh id", name, got.ID)
		}
	}
	if e := lanyard.NewEvent(t.Context(), at, ana, "thing.done", ""); e.RequestID != "" || e.IP != "" || e.UserAgent != "" || e.Detail != nil {
		t.Errorf("NewEvent() without a request = %+v, want nothing of one", e)
	}
}

// What a client sends must not keep a change from being recorded.
func TestNewEventOfAnOddRequest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	for _, tt := range []struct{ sent, want lanyard.Request }{
		{lanyard.Request{ID: "a\x00b", IP: "1\x00", UserAgent: "\x00"}, lanyard.Request{ID: "ab", IP: "1"}},
		{lanyard.Request{ID: "a\xffb", IP: "\xff", UserAgent: "cur\xc3l"}, lanyard.Request{ID: "ab", UserAgent: "curl"}},
		{lanyard.Request{ID: "a\r\nb", IP: "\t1", UserAgent: "x\x1b[31m\u0085y\x7f"}, lanyard.Request{ID: "ab", IP: "1", UserAgent: "x[31my"}},
		{lanyard.Request{ID: long, IP: long, UserAgent: long}, lanyard.Request{ID: long[:64], IP: long[:64], UserAgent: long[:256]}},
		// Cut within a character.
		{lanyard.Request{ID: long[:63] + "é", UserAgent: long[:255] + "é"}, lanyard.Request{ID: long[:63], UserAgent: long[:255]}},
		{lanyard.Request{ID: "é", IP: "fe80::1%eth0", UserAgent: "Mözilla/5.0 (a; b)"}, lanyard.Request{ID: "é", IP: "fe80::1%eth0", UserAgent: "Mözilla/5.0 (a; b)"}},
	} {
		e := lanyard.NewEvent(lanyard.WithRequest(t.Context(), tt.sent), at, ana, "thing.done", "")
		if got := (lanyard.Request{ID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent}); got != tt.want {
			t.Errorf("NewEvent() of the request %q = %q, want %q", tt.sent, got, tt.want)
		}
	}
}

func TestEventWith(t *testing.T) {
	t.Parallel()
	e := lanyard.Event{ID: "1"}
	a := e.With("agent", "planner")
	b := a.With("purpose", "triage").With("agent", "other").With("empty", "")
	if e.Detail != nil {
		t.Errorf("With() changed its receiver: %v", e.Detail)
	}
	if want := map[string]string{"agent": "planner"}; !maps.Equal(a.Detail, want) {
		t.Errorf("Detail = %v, want %v; a copy changed it", a.Detail, want)
	}
	if want := map[string]string{"agent": "other", "purpose": "triage"}; !maps.Equal(b.Detail, want) {
		t.Errorf("Detail = %v, want %v", b.Detail, want)
	}
	if b.ID != "1" {
		t.Errorf("With() lost the id: %q", b.ID)
	}
}

var idPattern = regexp.MustCompile(`^[a-z2-7]{26}$`)

func TestNewID(t *testing.T) {
	t.Parallel()
	const n = 10_000
	seen := make(map[string]bool, n)
	letters := map[rune]int{}
	for range n {
		id := lanyard.NewID()
		if !idPattern.MatchString(id) {
			t.Fatalf("NewID() = %q, want 26 of a-z and 2-7", id)
		}
		if seen[id] {
			t.Fatalf("NewID() gave %q twice", id)
		}
		seen[id] = true
		for _, r := range id {
			letters[r]++
		}
	}
	// Every letter turns up, each about as often as the others: 130 bits.
	for r, count := range letters {
		if want := n * 26 / 32; count < want*9/10 || count > want*11/10 {
			t.Errorf("%q turns up %d times in %d ids, want about %d", r, count, n, want)
		}
	}
	if len(letters) != 32 {
		t.Errorf("NewID() uses %d letters, want 32", len(letters))
	}
}
