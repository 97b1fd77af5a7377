package embed

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/integration/servers"
	"github.com/aichub/lanyard/store/postgres"
)

// A line has what happened to whom and from where, nested as the schema has it,
// and no key.
func TestToSIEM(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	hear := toSIEM(slog.New(slog.NewJSONHandler(&lines, nil)))
	at := time.Date(2026, 11, 25, 9, 0, 0, 123000, time.UTC)
	hear(t.Context(), lanyard.Event{
		ID: "e1", At: at, Owner: lanyard.Owner{Tenant: "acme", Subject: "ana"}, Actor: lanyard.Owner{Tenant: "acme", Subject: "ben"},
		Via: lanyard.ViaSession, Action: apikey.ActionDeleted, Object: "k1", RequestID: "r1", IP: "198.51.100.7",
		UserAgent: "a\n\"b", Detail: map[string]string{"name": "ci"},
	})
	if n := strings.Count(lines.String(), "\n"); n != 1 {
		t.Fatalf("one event is %d lines", n)
	}
	var line map[string]any
	ok(t, json.Unmarshal(lines.Bytes(), &line))
	for path, want := range map[string]string{
		"event.created": "2026-11-25T09:00:00.000123Z", "event.id": "e1", "event.action": "api_key.deleted",
		"organization.id": "acme", "user.id": "ana", "user.effective.id": "ben", "source.ip": "198.51.100.7",
		"user_agent.original": "a\n\"b", "http.request.id": "r1", "lanyard.via": "session", "lanyard.object": "k1", "lanyard.detail.name": "ci",
	} {
		var at any = line
		for name := range strings.SplitSeq(path, ".") {
			inner, _ := at.(map[string]any)
			at = inner[name]
		}
		if fmt.Sprint(at) != want {
			t.Errorf("%s = %v, want %s", path, at, want)
		}
	}
}

// Every event of the table is sent, over pages and over calls, in order, and
// what was committed late is not passed over.
func TestHistorySince(t *testing.T) {
	t.Parallel()
	url := servers.Postgres(t)
	st, err := postgres.Open(t.Context(), url, nil)
	ok(t, err)
	t.Cleanup(func() { ok(t, st.Close()) })
	ok(t, st.Migrate(t.Context()))
	db, err := sql.Open("pgx", url)
	ok(t, err)
	t.Cleanup(func() { ok(t, db.Close()) })

	begin := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	add := func(id string, after time.Duration) {
		t.Helper()
		ok(t, st.Append(t.Context(), lanyard.Event{
			ID: id, At: begin.Add(after), Owner: lanyard.Owner{Subject: "ana"}, Actor: lanyard.Owner{Subject: "ana"},
			Via: lanyard.ViaSystem, Action: "test.happened", Detail: map[string]string{"n": id},
		}))
	}
	var order []string
	sent := map[string]int{}
	send := func(_ context.Context, e lanyard.Event) {
		if e.Detail["n"] != e.ID || e.Owner.Subject != "ana" || e.Via != lanyard.ViaSystem || e.Action != "test.happened" {
			t.Errorf("sent %+v", e)
		}
		order = append(order, e.At.Format(time.RFC3339Nano)+" "+e.ID)
		sent[e.ID]++
	}
	for i := range 1200 { // more than two pages, and many at one instant
		add(fmt.Sprintf("e%04d", i), time.Duration(i/400)*time.Second)
	}
	since, err := historySince(t.Context(), db, time.Time{}, send)
	ok(t, err)
	if len(sent) != 1200 || len(order) != 1200 || !slices.IsSorted(order) {
		t.Errorf("%d events were sent %d times, sorted: %t, want 1200 once, in order", len(sent), len(order), slices.IsSorted(order))
	}
	add("late", 500*time.Millisecond) // began before the newest, and was committed after it was read
	add("new", time.Hour)
	clear(sent)
	if since, err = historySince(t.Context(), db, since, send); err != nil || sent["late"] != 1 || sent["new"] != 1 {
		t.Errorf("the next call sends late %d times and new %d times, %v, want both once", sent["late"], sent["new"], err)
	}
	clear(sent)
	if _, err = historySince(t.Context(), db, since, send); err != nil || len(sent) != 1 || sent["new"] != 1 {
		t.Errorf("with nothing new %v were sent, %v, want the newest again", slices.Collect(maps.Keys(sent)), err)
	}
}
