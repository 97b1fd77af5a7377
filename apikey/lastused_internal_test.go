package apikey

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// deaf is a store that takes nothing.
type deaf struct{}

func (deaf) RecordKeyUse(context.Context, []store.KeyUse) error { return lanyard.ErrUnavailable }
func (deaf) Append(context.Context, lanyard.Event) error        { return lanyard.ErrUnavailable }

// A flood of keys costs bounded memory, also while the store takes nothing and
// flushes put back what they took.
func TestUseLogIsBounded(t *testing.T) {
	t.Parallel()
	u := newUseLog(deaf{}, func(context.Context, lanyard.Event) {}, slog.New(slog.DiscardHandler))
	for _, round := range []string{"a", "b"} {
		for i := range maxUses + 10 {
			u.note(&use{id: round + strconv.Itoa(i)}, int64(i+1), "")
		}
		for range maxFacts + 10 {
			u.tell(t.Context(), lanyard.Event{ID: round})
		}
		if err := u.flush(t.Context()); err == nil {
			t.Error("flush() to a deaf store = nil, want an error")
		}
	}
	u.mu.Lock()
	if len(u.pending) != maxUses || len(u.facts) != maxFacts {
		t.Errorf("%d uses and %d facts wait, want %d and %d", len(u.pending), len(u.facts), maxUses, maxFacts)
	}
	u.mu.Unlock()
	if err := u.close(t.Context()); err == nil {
		t.Error("close() to a deaf store = nil, want an error: the last uses are lost")
	}
}

func TestToldIsBounded(t *testing.T) {
	t.Parallel()
	var l told[int]
	for i := range 3 * maxTold {
		if !l.claim(i) {
			t.Fatalf("claim(%d) = false the first time", i)
		}
	}
	if len(l.facts) > maxTold {
		t.Errorf("%d facts kept, want at most %d", len(l.facts), maxTold)
	}
	l.claim(0)
	if l.claim(0) {
		t.Error("claim() = true twice")
	}
	if l.release(0); !l.claim(0) {
		t.Error("claim() = false of what was released")
	}
}
