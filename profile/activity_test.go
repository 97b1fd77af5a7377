package profile_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// happened adds n events to an owner's history, some at the same instant.
func (b *bench) happened(t testing.TB, owner lanyard.Owner, n int) {
	t.Helper()
	for i := range n {
		e := lanyard.NewEvent(t.Context(), b.clock.now(), owner, "test.happened", fmt.Sprint(i))
		if err := b.store.Append(t.Context(), e); err != nil {
			t.Fatalf("Append() = %v, want nil", err)
		}
		if i%3 == 0 {
			b.clock.advance(time.Second)
		}
	}
}

// Pages neither skip nor repeat, also while new events come in.
func TestActivity(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		b.happened(t, ana, 23)
		b.happened(t, bob, 5)
		want := b.history(t, ana)
		var got []lanyard.Event
		page := profile.Page{Limit: 4}
		for range 10 {
			answer, err := b.Activity(t.Context(), ana, page)
			if err != nil {
				t.Fatalf("Activity(%+v) = %v, want nil", page, err)
			}
			if len(answer.Events) > 4 {
				t.Errorf("Activity() gave %d events, want at most 4", len(answer.Events))
			}
			got = append(got, answer.Events...)
			if page.Token = answer.Next; page.Token == "" {
				break
			}
			b.happened(t, ana, 2)
		}
		if len(got) != len(want) {
			t.Fatalf("the pages hold %d events, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i].ID != want[i].ID || got[i].Owner != ana {
				t.Errorf("event %d is %s of %v, want %s", i, got[i].ID, got[i].Owner, want[i].ID)
			}
		}
	})
}

func TestActivityLimits(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	if page, err := b.Activity(t.Context(), ana, profile.Page{}); err != nil || len(page.Events) != 0 || page.Next != "" {
		t.Errorf("Activity() of nobody = %+v, %v, want nothing", page, err)
	}
	b.happened(t, ana, 201)
	for limit, want := range map[int]int{0: 50, 1: 1, 200: 200} {
		page, err := b.Activity(t.Context(), ana, profile.Page{Limit: limit})
		if err != nil || len(page.Events) != want || page.Next == "" {
			t.Errorf("Activity() with limit %d = %d events, next %q, %v, want %d and more", limit, len(page.Events), page.Next, err, want)
		}
	}
	for _, limit := range []int{-1, 201, 1 << 40} {
		_, err := b.Activity(t.Context(), ana, profile.Page{Limit: limit})
		wantInput(t, fmt.Sprintf("Activity() with limit %d", limit), err, "limit", lanyard.CodeInvalid)
	}
	// A page that ends where the history ends has no next.
	b = newBench(memory.New())
	b.happened(t, ana, 4)
	if page, err := b.Activity(t.Context(), ana, profile.Page{Limit: 4}); err != nil || page.Next != "" {
		t.Errorf("Activity() of all = next %q, %v, want none", page.Next, err)
	}
}

// A token is one of ours for this owner, or it is refused.
func TestPageToken(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	for _, owner := range []lanyard.Owner{ana, bob, eve} {
		b.happened(t, owner, 3)
	}
	next := func(owner lanyard.Owner) string {
		page, err := b.Activity(t.Context(), owner, profile.Page{Limit: 1})
		if err != nil || page.Next == "" {
			t.Fatalf("Activity() = next %q, %v, want one", page.Next, err)
		}
		return page.Next
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	token := next(ana)
	if strings.Trim(token, letters) != "" {
		t.Errorf("a page token is %q, want one that needs no escaping", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatalf("a page token is %q: %v", token, err)
	}
	bad := map[string]string{
		"junk": "junk", "a space": " ", "padding": token + "=", "one more": token + "A", "a line end": token[:8] + "\n" + token[8:],
		"itself twice": token + token, "bob's": next(bob), "the other ana's": next(eve), "huge": strings.Repeat("A", 1<<20),
		"NUL": "\x00", "no UTF-8": "\xff", "zeros": base64.RawURLEncoding.EncodeToString(make([]byte, 40)), "standard base64": "+/+/" + token,
	}
	// The last character has bits to spare: of its four spellings one is ours.
	last := strings.IndexByte(letters, token[len(token)-1])
	bad["another spelling"] = token[:len(token)-1] + letters[last+1:last+2]
	for i := range token {
		bad[fmt.Sprintf("the first %d characters", i)] = token[:i]
	}
	delete(bad, "the first 0 characters") // the first page
	for i := range raw {
		flipped := append([]byte(nil), raw...)
		flipped[i] ^= 0x10
		bad[fmt.Sprintf("byte %d changed", i)] = base64.RawURLEncoding.EncodeToString(flipped)
	}
	for name, token := range bad {
		page, err := b.Activity(t.Context(), ana, profile.Page{Token: token})
		wantInput(t, "Activity() with "+name, err, "page_token", lanyard.CodeInvalid)
		if err != nil && len(token) > 3 && strings.Contains(err.Error(), token) {
			t.Errorf("Activity() with %s = %q, which repeats it", name, err)
		}
		if len(page.Events) != 0 {
			t.Errorf("Activity() with %s gave %d events", name, len(page.Events))
		}
	}
	if page, err := b.Activity(t.Context(), ana, profile.Page{Token: token}); err != nil || len(page.Events) != 2 {
		t.Errorf("Activity() with the token = %d events, %v, want the other 2", len(page.Events), err)
	}
}

// A token outlives what it points behind.
func TestPageTokenOfWhatIsGone(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		b.happened(t, ana, 9)
		page, err := b.Activity(t.Context(), ana, profile.Page{Limit: 3})
		if err != nil {
			t.Fatalf("Activity() = %v, want nil", err)
		}
		if _, err := b.store.Purge(t.Context(), store.Purge{EventsBefore: b.clock.now().Add(time.Hour)}); err != nil {
			t.Fatalf("Purge() = %v, want nil", err)
		}
		if page, err = b.Activity(t.Context(), ana, profile.Page{Token: page.Next}); err != nil || len(page.Events) != 0 || page.Next != "" {
			t.Errorf("Activity() behind a purge = %+v, %v, want nothing", page, err)
		}
	})
}
