package profile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// FuzzCursor: what is accepted has one spelling, belongs to one owner and is a
// place a store can look up. Nothing panics.
func FuzzCursor(f *testing.F) {
	owner := lanyard.Owner{Tenant: "acme", Subject: "ana"}
	at := time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC)
	for _, c := range []store.EventCursor{
		{At: at, ID: "a"}, {At: at, ID: lanyard.NewID()}, {At: time.Unix(0, 0).UTC(), ID: "é"}, {At: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), ID: strings.Repeat("x", 255)},
	} {
		f.Add(encodeCursor(owner, c), "acme", "ana")
		f.Add(encodeCursor(lanyard.Owner{Subject: "bob"}, c), "acme", "ana")
	}
	for _, c := range []store.EventCursor{{At: at, ID: "\x00"}, {At: at, ID: "\xff"}, {At: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), ID: "a"}, {At: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), ID: "a"}, {At: at}} {
		f.Add(encodeCursor(owner, c), "acme", "ana")
	}
	for _, s := range []string{"", "A", "====", "AAAAAAAAAAAAAAAAAAAAAA", "\n", "é", strings.Repeat("A", 400)} {
		f.Add(s, "", "ana")
	}
	f.Fuzz(func(t *testing.T, token, tenant, subject string) {
		owner := lanyard.Owner{Tenant: tenant, Subject: subject}
		c, err := decodeCursor(owner, token)
		if err != nil {
			var input *lanyard.InputError
			if !errors.As(err, &input) || input.Field != "page_token" || c != (store.EventCursor{}) {
				t.Errorf("decodeCursor(%q) = %+v, %v, want nothing and an InputError", token, c, err)
			}
			return
		}
		if again := encodeCursor(owner, c); again != token {
			t.Errorf("decodeCursor(%q) gives %+v, which is spelt %q", token, c, again)
		}
		if c.Validate() != nil || c.ID == "" || c.At.Location() != time.UTC || c.At.Year() < 1 || c.At.Year() > 9999 {
			t.Errorf("decodeCursor(%q) = %+v, which no store can look up", token, c)
		}
		if _, err := decodeCursor(lanyard.Owner{Tenant: tenant, Subject: subject + "x"}, token); err == nil {
			t.Errorf("decodeCursor(%q) is another owner's too", token)
		}
	})
}

// Tenant and subject do not run into each other.
func TestCursorOwner(t *testing.T) {
	t.Parallel()
	c := store.EventCursor{At: time.Unix(1, 0).UTC(), ID: "e1"}
	token := encodeCursor(lanyard.Owner{Tenant: "ab", Subject: "c"}, c)
	for _, owner := range []lanyard.Owner{{Tenant: "a", Subject: "bc"}, {Subject: "abc"}, {Tenant: "ab", Subject: "C"}, {Tenant: "c", Subject: "ab"}} {
		if _, err := decodeCursor(owner, token); err == nil {
			t.Errorf("the token of ab/c is good for %q/%q", owner.Tenant, owner.Subject)
		}
	}
}
