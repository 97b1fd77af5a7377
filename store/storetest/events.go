package storetest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var epochLine = regexp.MustCompile(`(?m)^epochs .*\n`)
var erasureLine = regexp.MustCompile(`(?m)^erasures .*\n`)

func withoutEpochs(picture string) string { return epochLine.ReplaceAllString(picture, "") }

// erasureOnly reports whether two pictures differ in their erasures only.
func erasureOnly(a, b string) bool {
	return erasureLine.ReplaceAllString(a, "") == erasureLine.ReplaceAllString(b, "")
}

var eventTests = map[string]func(*testing.T, store.Store){
	"AppendOnce": func(t *testing.T, st store.Store) {
		e := event(ana, "fact")
		e.DedupeKey = "key:2026-03-14T15"
		ok(t, st.Append(t.Context(), e))
		again := event(ana, "fact")
		again.DedupeKey = e.DedupeKey
		is(t, "Append of a known fact", st.Append(t.Context(), again), lanyard.ErrExists)
		theirs := event(ben, "fact")
		theirs.DedupeKey = e.DedupeKey
		ok(t, st.Append(t.Context(), theirs))
		other := event(ana, "fact")
		other.DedupeKey = "KEY:2026-03-14T15"
		ok(t, st.Append(t.Context(), other))
		for range 2 {
			ok(t, st.Append(t.Context(), event(ana, "without a key")))
		}
		got, err := st.Events(t.Context(), ana, store.EventCursor{}, 10)
		ok(t, err)
		if len(got) != 4 {
			t.Errorf("Events holds %d, want 4", len(got))
		}
	},
	"PagesAreStable": func(t *testing.T, st store.Store) {
		want := map[string]bool{}
		add := func(name string, seconds int, counts bool) {
			e := event(ana, "page")
			e.ID, e.At = name, at(seconds)
			ok(t, st.Append(t.Context(), e))
			if counts {
				want[name] = true
			}
		}
		for i := range 23 {
			add(fmt.Sprintf("e%02d", i), i/4, true) // up to four share a time
		}
		ok(t, st.Append(t.Context(), event(ben, "page")))
		var cursor store.EventCursor
		seen := map[string]bool{}
		for n := 0; ; n++ {
			page, err := st.Events(t.Context(), ana, cursor, 5)
			ok(t, err)
			if len(page) > 5 {
				t.Fatalf("Events(limit 5) returned %d", len(page))
			}
			for _, e := range page {
				if seen[e.ID] {
					t.Errorf("%s came twice", e.ID)
				}
				if cursor.ID != "" && (e.At.After(cursor.At) || e.At.Equal(cursor.At) && e.ID <= cursor.ID) {
					t.Errorf("%s is out of order", e.ID)
				}
				seen[e.ID] = true
				cursor = store.EventCursor{At: e.At, ID: e.ID}
			}
			if len(page) == 0 {
				break
			}
			add(fmt.Sprintf("new%02d", n), 1000+n, false)
			if n < 3 {
				add(fmt.Sprintf("old%02d", n), -n, true)
			}
		}
		for id := range want {
			if !seen[id] {
				t.Errorf("%s was skipped", id)
			}
		}
		for id := range seen {
			if strings.HasPrefix(id, "new") {
				t.Errorf("%s came, although it was inserted above the cursor", id)
			}
		}
	},
	"ReturnsCopies": func(t *testing.T, st store.Store) {
		e := event(ana, "x")
		ok(t, st.Append(t.Context(), e))
		for range 2 {
			got, err := st.Events(t.Context(), ana, store.EventCursor{}, 10)
			ok(t, err)
			same(t, "Events", got, []lanyard.Event{e})
			got[0].Detail["name"] = "changed"
		}
	},
	"LimitZeroIsNothing": func(t *testing.T, st store.Store) {
		ok(t, st.Append(t.Context(), event(ana, "x")))
		for _, limit := range []int{0, -1} {
			got, err := st.Events(t.Context(), ana, store.EventCursor{}, limit)
			ok(t, err)
			if len(got) != 0 {
				t.Errorf("Events(limit %d) returned %d", limit, len(got))
			}
		}
	},
	"KeepsCopies": func(t *testing.T, st store.Store) {
		e := event(ana, "x")
		ok(t, st.Append(t.Context(), e))
		e.Detail["name"] = "changed"
		got, err := st.Events(t.Context(), ana, store.EventCursor{}, 10)
		ok(t, err)
		e.Detail = map[string]string{"name": "x"}
		same(t, "Events after a caller changed his", got, []lanyard.Event{e})
	},
}
