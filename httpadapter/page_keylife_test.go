package httpadapter_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// lives are the choices of the form for a new key, with their results, the
// chosen one marked.
func (v *visitor) lives() string {
	v.t.Helper()
	v.open("api-keys/new")
	var all []string
	for _, n := range v.all("input") {
		if attr(n, "name") != "expiry" || attr(n, "value") == "custom" {
			continue
		}
		text := textOf(labelOf(v.document, attr(n, "id")))
		if hasAttr(n, "checked") {
			text += "!"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ") + "; last " + attr(v.byID("expires_on"), "max")
}

// The form offers what the policy allows, and chooses what it says.
func TestPageLivesFollowThePolicy(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		longest, usual time.Duration
		want           string
	}{
		"none":       {0, 0, "30 days until 23 Dec 2026, 60 days until 22 Jan 2027, 90 days until 21 Feb 2027!, 1 year until 23 Nov 2027, Never works until you delete it; last "},
		"default":    {0, 30 * day, "30 days until 23 Dec 2026!, 60 days until 22 Jan 2027, 90 days until 21 Feb 2027, 1 year until 23 Nov 2027; last "},
		"odd":        {0, 45 * day, "30 days until 23 Dec 2026, 45 days until 7 Jan 2027!, 60 days until 22 Jan 2027, 90 days until 21 Feb 2027, 1 year until 23 Nov 2027; last "},
		"maximum":    {60 * day, 0, "30 days until 23 Dec 2026, 60 days until 22 Jan 2027!; last 2027-01-22"},
		"both":       {90 * day, 7 * day, "7 days until 30 Nov 2026!, 30 days until 23 Dec 2026, 60 days until 22 Jan 2027, 90 days until 21 Feb 2027; last 2027-02-21"},
		"long":       {1000 * day, 0, "30 days until 23 Dec 2026, 60 days until 22 Jan 2027, 90 days until 21 Feb 2027, 1 year until 23 Nov 2027, 1,000 days until 19 Aug 2029!; last 2029-08-19"},
		"hours":      {12 * time.Hour, 0, "12 hours until 24 Nov 2026, 00:00 UTC!; last 2026-11-24"},
		"a day more": {36 * time.Hour, time.Hour, "1 hour until 23 Nov 2026, 13:00 UTC!; last 2026-11-25"},
		"minutes":    {day, 20 * time.Minute, "20 minutes until 23 Nov 2026, 12:20 UTC!; last 2026-11-24"},
	} {
		w := newPageWorld(t, pageOptions{keys: func(o *apikey.Options) { o.MaxLife, o.DefaultLife = tt.longest, tt.usual }})
		v := w.visit(t, "ana")
		if got := v.lives(); got != tt.want {
			t.Errorf("%s: the form offers\n%s, want\n%s", name, got, tt.want)
		}
		// Whatever it offers is taken, the last day too.
		v.submit("Create key", "name", "chosen")
		v.is(http.StatusCreated, "Your new API key")
		v.open("api-keys/new")
		if last := attr(v.byID("expires_on"), "max"); last != "" {
			v.submit("Create key", "name", "last", "expiry", "custom", "expires_on", last)
			v.is(http.StatusCreated, "Your new API key")
			v.open("api-keys/new")
			v.submit("Create key", "name", "late", "expiry", "custom", "expires_on", "2031-01-01")
			v.is(http.StatusUnprocessableEntity, "Create an API key")
			v.says("Custom date: a key may not live that long here.")
		}
		v.open("api-keys/new")
		v.submit("Create key", "name", "beyond", "expiry", "never")
		if want := http.StatusUnprocessableEntity; tt.usual+tt.longest > 0 && v.status != want {
			t.Errorf("%s: never = %d, want %d", name, v.status, want)
		}
	}
}

// The choice that the policy adds lives as long as it says.
func TestPageDefaultLifeOfHours(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{keys: func(o *apikey.Options) { o.MaxLife = 12 * time.Hour }})
	w.visit(t, "ana").newKey("ci")
	keys, err := w.keys.Keys(t.Context(), lanyard.Owner{Subject: "ana"})
	pageOK(t, err)
	if want := w.now.Load().Add(12 * time.Hour); !keys[0].ExpiresAt.Equal(want) {
		t.Errorf("ExpiresAt = %v, want %v", keys[0].ExpiresAt, want)
	}
}

// Where a day of 25 hours lies between, the last choice is still taken.
func TestPageLifeOverALongDay(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{
		keys:     func(o *apikey.Options) { o.MaxLife, o.Limit = 30*24*time.Hour, -1 },
		identify: func(_ string, p *lanyard.Principal) { p.ZoneInfo = "Europe/Berlin" },
	})
	v := w.visit(t, "ana")
	for day, want := range map[int]string{24: "2026-10-24", 39: "2026-11-08"} { // of September
		start := time.Date(2026, 9, day, 22, 30, 0, 0, time.UTC) // half past midnight there
		w.now.Store(&start)
		v.newKey("chosen")
		v.open("api-keys/new")
		last := attr(v.byID("expires_on"), "max")
		v.submit("Create key", "name", "last", "expiry", "custom", "expires_on", last)
		v.is(http.StatusCreated, "Your new API key")
		if last != want {
			t.Errorf("the last day = %s, want %s, whose end is within thirty-one days", last, want)
		}
	}
}
