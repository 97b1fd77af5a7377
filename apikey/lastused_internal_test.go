package apikey

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// deaf is a store that takes no uses.
type deaf struct{}

func (deaf) RecordKeyUse(context.Context, []store.KeyUse) error { return lanyard.ErrUnavailable }

// A flood of keys costs bounded memory, also while the store takes nothing and
// flushes put marks back.
func TestUseLogIsBounded(t *testing.T) {
	t.Parallel()
	u := newUseLog(deaf{}, slog.New(slog.DiscardHandler))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 2*maxUses + 10 {
		u.note("a"+strconv.Itoa(i), at)
	}
	if err := u.flush(t.Context()); err == nil {
		t.Error("flush() to a deaf store = nil, want an error")
	}
	marks := u.take()
	for i := range maxUses {
		u.note("b"+strconv.Itoa(i), at)
	}
	var uses []store.KeyUse
	for id := range marks {
		uses = append(uses, store.KeyUse{ID: id, At: at})
	}
	u.putBack(uses)

	u.mu.Lock()
	if len(u.marks) > maxUses || len(u.seen) > maxUses || len(u.marks) < maxUses/2 {
		t.Errorf("%d marks and %d keys seen, want at most %d of each", len(u.marks), len(u.seen), maxUses)
	}
	u.mu.Unlock()
	if err := u.close(t.Context()); err == nil {
		t.Error("close() to a deaf store = nil, want an error: the last uses are lost")
	}
}

func TestLateUsesAreBounded(t *testing.T) {
	t.Parallel()
	var l lateUses
	for i := range 3 * maxLateUses {
		if !l.claim(strconv.Itoa(i)) {
			t.Fatalf("claim(%d) = false the first time", i)
		}
	}
	if len(l.told) > maxLateUses {
		t.Errorf("%d keys kept, want at most %d", len(l.told), maxLateUses)
	}
	l.claim("0")
	if l.claim("0") {
		t.Error("claim() = true twice")
	}
}
