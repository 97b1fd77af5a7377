package lanyard_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/aichub/lanyard"
)

func TestPrincipalInContext(t *testing.T) {
	t.Parallel()
	if p, ok := lanyard.PrincipalFrom(t.Context()); ok || !reflect.DeepEqual(p, lanyard.Principal{}) {
		t.Errorf("PrincipalFrom(empty) = %+v, %v, want none", p, ok)
	}
	want := lanyard.Principal{
		Owner: lanyard.Owner{Tenant: "acme", Subject: "ana"}, Email: "ana@example.com", EmailVerified: true,
		GivenName: "Ana", FamilyName: "Souza", Name: "Ana Souza", Locale: "pt-BR", ZoneInfo: "America/Sao_Paulo",
		Roles: []string{"admin"}, AuthTime: time.Unix(1, 2), Via: lanyard.ViaAPIKey, KeyID: "k1", Scopes: []string{"read"},
	}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(want)) {
		if reflect.ValueOf(want).FieldByIndex(f.Index).IsZero() {
			t.Errorf("this test does not set %s", f.Name)
		}
	}
	ctx := lanyard.WithPrincipal(t.Context(), want)
	if got, ok := lanyard.PrincipalFrom(ctx); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("PrincipalFrom() = %+v, %v, want %+v", got, ok, want)
	}
	inner := lanyard.WithPrincipal(ctx, lanyard.Principal{Owner: lanyard.Owner{Subject: "bob"}})
	if got, _ := lanyard.PrincipalFrom(inner); got.Owner.Subject != "bob" {
		t.Errorf("PrincipalFrom(inner) = %v, want bob", got.Owner)
	}
	if got, _ := lanyard.PrincipalFrom(ctx); got.Owner.Subject != "ana" {
		t.Errorf("PrincipalFrom(outer) = %v, want ana", got.Owner)
	}
	// Even the zero Principal was put there by somebody.
	if _, ok := lanyard.PrincipalFrom(lanyard.WithPrincipal(t.Context(), lanyard.Principal{})); !ok {
		t.Error("PrincipalFrom() does not find a zero Principal")
	}
}

func TestRequestInContext(t *testing.T) {
	t.Parallel()
	if got := lanyard.RequestFrom(t.Context()); got != (lanyard.Request{}) {
		t.Errorf("RequestFrom(empty) = %+v, want the zero Request", got)
	}
	want := lanyard.Request{ID: "req-1", IP: "203.0.113.7", UserAgent: "curl/8"}
	ctx := lanyard.WithRequest(lanyard.WithPrincipal(t.Context(), lanyard.Principal{KeyID: "k1"}), want)
	if got := lanyard.RequestFrom(ctx); got != want {
		t.Errorf("RequestFrom() = %+v, want %+v", got, want)
	}
	if p, _ := lanyard.PrincipalFrom(ctx); p.KeyID != "k1" {
		t.Error("a Request hides the Principal")
	}
	// Only our own functions find them.
	type requestKey struct{}
	if got := lanyard.RequestFrom(context.WithValue(t.Context(), requestKey{}, want)); got != (lanyard.Request{}) {
		t.Errorf("RequestFrom() found somebody else's value: %+v", got)
	}
}

func TestHasScope(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		scopes []string
		scope  string
		want   bool
	}{
		{nil, "read", false},
		{nil, "", false},
		{[]string{"read"}, "read", true},
		{[]string{"read", "write"}, "write", true},
		{[]string{"read"}, "Read", false},
		{[]string{"read:all"}, "read", false},
		{[]string{"*"}, "read", false},
	} {
		if got := (lanyard.Principal{Scopes: tt.scopes}).HasScope(tt.scope); got != tt.want {
			t.Errorf("HasScope(%q) of %q = %v, want %v", tt.scope, tt.scopes, got, tt.want)
		}
	}
}

// A CallContext carries what WithPrincipal and WithRequest carry, and what its
// context does.
func TestCallContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	outer := context.WithValue(lanyard.WithRequest(t.Context(), lanyard.Request{ID: "outer"}), key{}, "kept")
	ctx := &lanyard.CallContext{
		Context:   outer,
		Principal: lanyard.Principal{KeyID: "4fJr0c9wTq"}, Request: lanyard.Request{IP: "203.0.113.7"},
	}
	inner := context.WithValue(ctx, "unrelated", 1) //nolint:revive,staticcheck // any key at all
	p, ok := lanyard.PrincipalFrom(inner)
	if r := lanyard.RequestFrom(inner); !ok || p.KeyID != "4fJr0c9wTq" || r != ctx.Request || inner.Value(key{}) != "kept" {
		t.Errorf("PrincipalFrom() = %+v, %t, RequestFrom() = %+v, Value() = %v", p, ok, r, inner.Value(key{}))
	}
	if p, _ := lanyard.PrincipalFrom(lanyard.WithPrincipal(inner, lanyard.Principal{KeyID: "other"})); p.KeyID != "other" {
		t.Errorf("PrincipalFrom() of a context made of it = %+v, want the inner one", p)
	}
}
