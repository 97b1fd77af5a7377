package crypto_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// tries is how many failures in a row there are before a key service rests.
const tries = 10

// crowd seals a value for each of n owners and returns an opener of the i-th
// in another process, which has none of their keys yet.
func crowd(t *testing.T, b *bench, n int, o *crypto.SealerOptions) (s *crypto.Sealer, open func(ctx context.Context, i int) error) {
	t.Helper()
	places, envelopes := make([]crypto.Binding, n), make([][]byte, n)
	for i := range n {
		places[i] = place(lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("user-", i)})
		envelopes[i] = seal(t, b.Sealer, places[i]).Envelope
	}
	s = b.another(t, o)
	b.vault.unwraps.Store(0)
	return s, func(ctx context.Context, i int) error {
		_, err := s.Open(ctx, places[i], envelopes[i])
		return err
	}
}

// A key service that is down is asked once a second, whoever waits; everybody
// else is told at once, and who has his key in memory notices nothing. Within a
// second of its return all is well.
func TestKeyServiceRests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		var log bytes.Buffer
		_, open := crowd(t, b, 200, &crypto.SealerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := open(t.Context(), 0); err != nil { // is in memory from now on
			t.Fatalf("Open() = %v, want nil", err)
		}
		b.vault.fail(fmt.Errorf("%s: %w", canary, lanyard.ErrUnavailable))
		b.vault.unwraps.Store(0)
		for i := range tries {
			wantOnly(t, "Open() while it is down", open(t.Context(), 1+i), lanyard.ErrUnavailable)
		}
		wantCount(t, "unwraps before it rests", &b.vault.unwraps, tries)

		b.vault.unwraps.Store(0)
		for second := range 5 {
			var all sync.WaitGroup
			for i := range 100 {
				all.Go(func() {
					began := time.Now()
					err := open(t.Context(), 50+i)
					wantOnly(t, "Open() while it rests", err, lanyard.ErrUnavailable)
					if took := time.Since(began); took != 0 {
						t.Errorf("Open() while it rests took %v, want nothing", took)
					}
					if err != nil && strings.Contains(err.Error(), canary) {
						t.Errorf("Open() says %v", err)
					}
				})
			}
			all.Wait()
			wantCount(t, fmt.Sprintf("unwraps in %d s of rest", second), &b.vault.unwraps, int64(second))
			if err := open(t.Context(), 0); err != nil {
				t.Errorf("Open() from memory while it rests = %v, want nil", err)
			}
			<-time.After(time.Second)
		}

		b.vault.heal()
		<-time.After(time.Second)
		for i := range 200 {
			if err := open(t.Context(), i); err != nil {
				t.Errorf("Open() of owner %d a second after it is back = %v, want nil", i, err)
			}
		}
		if n := strings.Count(log.String(), "key service does not answer"); n != 1 {
			t.Errorf("the log says %d times that it does not answer, want once:\n%s", n, &log)
		}
		if n := strings.Count(log.String(), "key service answers again"); n != 1 || !strings.Contains(log.String(), "key_service=vault") {
			t.Errorf("the log says %d times that it answers again, want once, with its name:\n%s", n, &log)
		}
	})
}

// Failures that are not in a row rest nothing.
func TestNowAndThenAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		_, open := crowd(t, b, 1+10*tries, nil)
		for i := range 10 * tries {
			b.vault.heal()
			if i%(tries-1) != 0 {
				b.vault.fail(lanyard.ErrUnavailable)
			}
			if err := open(t.Context(), i); (err == nil) != (i%(tries-1) == 0) {
				t.Fatalf("Open() %d = %v", i, err)
			}
		}
		wantCount(t, "unwraps", &b.vault.unwraps, 10*tries)
	})
}

// A refusal is an answer: it tells one owner something and keeps nobody else
// waiting.
func TestRefusalsAreAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, answer := range []error{crypto.ErrDenied, crypto.ErrUnbound, crypto.ErrUnknownKey, crypto.ErrIntegrity} {
			b := newBench(t, nil)
			_, open := crowd(t, b, 1, nil)
			b.vault.fail(answer)
			for range 5 * tries {
				if err := open(t.Context(), 0); !errors.Is(err, answer) {
					t.Fatalf("Open() = %v, want %v", err, answer)
				}
			}
			wantCount(t, "unwraps", &b.vault.unwraps, 5*tries)
			b.vault.heal()
			if err := open(t.Context(), 0); err != nil {
				t.Errorf("Open() after %v = %v, want nil", answer, err)
			}

			// It also ends a rest, unless it is about the one row.
			_, open = crowd(t, b, 1, nil)
			b.vault.fail(lanyard.ErrUnavailable)
			for range tries {
				_ = open(t.Context(), 0)
			}
			b.vault.fail(answer)
			<-time.After(time.Second)
			_ = open(t.Context(), 0)
			b.vault.heal()
			err := open(t.Context(), 0)
			if ofTheRow := errors.Is(answer, crypto.ErrUnknownKey) || errors.Is(answer, crypto.ErrIntegrity); ofTheRow {
				wantOnly(t, fmt.Sprintf("Open() right after %v", answer), err, lanyard.ErrUnavailable)
			} else if err != nil {
				t.Errorf("Open() right after %v ended a rest = %v, want nil", answer, err)
			}
		}
	})
}

// hang makes the key service answer nobody until the function it returns is
// called, and counts who waits for it.
func hang(b *bench) (waiting, most *atomic.Int64, end func()) {
	waiting, most = new(atomic.Int64), new(atomic.Int64)
	ended := make(chan struct{})
	wait := func(ctx context.Context) error {
		most.Store(max(most.Load(), waiting.Add(1)))
		defer waiting.Add(-1)
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.vault.onWrap = func(ctx context.Context, w crypto.Wrapped) (crypto.Wrapped, error) { return w, wait(ctx) }
	b.vault.onUnwrap = func(ctx context.Context, key []byte, err error) ([]byte, error) {
		return key, cmp.Or(wait(ctx), err)
	}
	return waiting, most, func() { close(ended) }
}

// A key service that hangs has a bounded number of calls hanging in it. Who
// has a deadline is answered at that, who has none within ten seconds, and who
// comes later within one. It rests from then on.
func TestHangingKeyServiceIsNotPiledUpOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		_, open := crowd(t, b, 500, nil)
		_, most, end := hang(b)
		var all sync.WaitGroup
		for i := range 400 {
			all.Go(func() {
				began := time.Now()
				ctx, limit := t.Context(), 10*time.Second
				if i%2 == 1 {
					limit = 300 * time.Millisecond
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, limit)
					defer cancel()
				}
				wantOnly(t, "Open() while it hangs", open(ctx, i), lanyard.ErrUnavailable)
				if took := time.Since(began); took > limit {
					t.Errorf("Open() while it hangs took %v, want at most %v", took, limit)
				}
			})
		}
		<-time.After(2 * time.Second)
		began := time.Now()
		wantOnly(t, "Open() of a late one", open(t.Context(), 400), lanyard.ErrUnavailable)
		if took := time.Since(began); took != time.Second {
			t.Errorf("Open() of a late one took %v, want 1s", took)
		}
		all.Wait()
		if n := most.Load(); n != 32 {
			t.Errorf("%d calls hung at once, want 32", n)
		}

		began = time.Now()
		wantOnly(t, "Open() while it rests", open(t.Context(), 401), lanyard.ErrUnavailable)
		if took := time.Since(began); took != 0 {
			t.Errorf("Open() while it rests took %v, want nothing", took)
		}
		end()
		<-time.After(time.Second)
		for i := range 500 {
			if err := open(t.Context(), i); err != nil {
				t.Errorf("Open() of owner %d after it hung = %v, want nil", i, err)
			}
		}
	})
}

// One call a second is let through while it hangs, also when the one before
// hangs still, so a server that is back is found however long that takes.
func TestProbesOfAHangingKeyService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		_, open := crowd(t, b, 100, nil)
		b.vault.fail(lanyard.ErrUnavailable)
		for i := range tries {
			_ = open(t.Context(), i)
		}
		b.vault.heal()
		waiting, _, end := hang(b)
		var all sync.WaitGroup
		for second := range 5 {
			for i := range 10 {
				all.Go(func() { _ = open(t.Context(), 10+10*second+i) })
			}
			synctest.Wait()
			if n := waiting.Load(); n != int64(second) {
				t.Errorf("%d calls hang after %d s of rest, want %d", n, second, second)
			}
			<-time.After(time.Second)
		}
		end()
		all.Wait()
		for i := range 100 {
			if err := open(t.Context(), i); err != nil {
				t.Errorf("Open() of owner %d once a probe was answered = %v, want nil", i, err)
			}
		}
	})
}

// A key service that says when to ask again is not asked until then, within
// reason.
func TestBusyKeyService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, tt := range []struct{ asked, rest time.Duration }{
			{-time.Second, 0},
			{0, 0},
			{time.Second, time.Second},
			{3 * time.Second, 3 * time.Second},
			{time.Hour, 5 * time.Second},
			{1<<63 - 1, 5 * time.Second},
		} {
			b := newBench(t, nil)
			_, open := crowd(t, b, 1, nil)
			b.vault.fail(fmt.Errorf("%s: %w", canary, &crypto.BusyError{RetryAfter: tt.asked}))
			err := open(t.Context(), 0)
			wantOnly(t, "Open() of a busy one", err, lanyard.ErrUnavailable)
			if busy := new(crypto.BusyError); errors.As(err, &busy) || strings.Contains(err.Error(), canary) {
				t.Errorf("Open() of a busy one = %v, want nothing of what it said", err)
			}
			b.vault.heal()
			if tt.rest > 0 {
				<-time.After(tt.rest - time.Nanosecond)
				wantOnly(t, fmt.Sprintf("Open() just before %v", tt.asked), open(t.Context(), 0), lanyard.ErrUnavailable)
				wantCount(t, "unwraps", &b.vault.unwraps, 1)
				<-time.After(time.Nanosecond)
			}
			if err := open(t.Context(), 0); err != nil {
				t.Errorf("Open() after %v, of %v that were asked for = %v, want nil", tt.rest, tt.asked, err)
			}
		}
	})
}

// Who has no time, or hangs up, says nothing about the key service.
func TestImpatienceIsNoFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		s, open := crowd(t, b, 2, nil)
		_, _, end := hang(b)
		for range tries {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5*time.Second, cancel)
			wantOnly(t, "Check() that was cancelled", s.Check(ctx), lanyard.ErrUnavailable)
		}
		for range 2 * tries {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			wantOnly(t, "Check() in little time", s.Check(ctx), lanyard.ErrUnavailable)
			cancel()
		}
		end()
		if err := open(t.Context(), 0); err != nil {
			t.Errorf("Open() after impatient ones = %v, want nil", err)
		}

		_, _, end = hang(b)
		for range tries {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			wantOnly(t, "Check() in a second", s.Check(ctx), lanyard.ErrUnavailable)
			cancel()
		}
		end()
		wantOnly(t, "Open() after patient ones", open(t.Context(), 1), lanyard.ErrUnavailable)
	})
}

// Check and Rewrap ask also while the key service rests, and what they find
// holds for everybody.
func TestProofsAsk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, prove := range map[string]func(*bench, *crypto.Sealer) error{
			"Check()": func(_ *bench, s *crypto.Sealer) error { return s.Check(t.Context()) },
			"Rewrap()": func(b *bench, s *crypto.Sealer) error {
				_, err := s.Rewrap(t.Context(), b.memory, nil)
				return err
			},
		} {
			b := newBench(t, nil)
			s, open := crowd(t, b, 20, nil)
			b.vault.fail(lanyard.ErrUnavailable)
			for i := range tries {
				_ = open(t.Context(), i)
			}
			b.vault.wraps.Store(0)
			for range 3 {
				wantOnly(t, name+" while it is down", prove(b, s), lanyard.ErrUnavailable)
			}
			wantCount(t, name+" asked while it rests", &b.vault.wraps, 3)
			b.vault.heal()
			wantOnly(t, "Open() before "+name, open(t.Context(), 0), lanyard.ErrUnavailable)
			if err := prove(b, s); err != nil {
				t.Errorf("%s once it is back = %v, want nil", name, err)
			}
			if err := open(t.Context(), 0); err != nil {
				t.Errorf("Open() after %s = %v, want nil", name, err)
			}
		}
	})
}

// A key service that panics has not answered, and keeps no place.
func TestPanicsLeaveNoCallUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		_, open := crowd(t, b, 1, nil)
		b.vault.onUnwrap = func(context.Context, []byte, error) ([]byte, error) { panic(canary) }
		for range 50 {
			wantOnly(t, "Open() of one that panics", open(t.Context(), 0), lanyard.ErrUnavailable)
			<-time.After(time.Second)
		}
		wantCount(t, "unwraps", &b.vault.unwraps, 50)
		b.vault.onUnwrap = nil
		if err := open(t.Context(), 0); err != nil {
			t.Errorf("Open() after fifty panics = %v, want nil", err)
		}
	})
}

// Previous key services rest by themselves.
func TestEachKeyServiceRestsByItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		old := newVault("old")
		before := newSealer(t, old, b.table, nil)
		sealed := seal(t, before, place(ana))
		s := b.another(t, &crypto.SealerOptions{Previous: []crypto.Secrets{old}})
		old.fail(lanyard.ErrUnavailable)
		old.unwraps.Store(0)
		for range 2 * tries {
			wantRefused(t, "of the previous one, which is down", s, place(ana), sealed.Envelope, lanyard.ErrUnavailable)
		}
		wantCount(t, "unwraps of the previous one", &old.unwraps, tries)
		wantOpens(t, "of the current one", s, place(bob), seal(t, s, place(bob)).Envelope)
	})
}

// A key service that is slow and answers is worth waiting for, however many
// want it.
func TestSlowKeyServiceServesAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		_, open := crowd(t, b, 1000, nil)
		b.vault.onUnwrap = func(_ context.Context, key []byte, err error) ([]byte, error) {
			<-time.After(100 * time.Millisecond)
			return key, err
		}
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				if err := open(t.Context(), i); err != nil {
					t.Errorf("Open() of owner %d = %v, want nil", i, err)
				}
			})
		}
		all.Wait()
	})
}

// Check ends also where its caller would wait for ever.
func TestCheckEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		_, _, end := hang(b)
		defer end()
		began := time.Now()
		wantOnly(t, "Check() of a key service that hangs", b.Check(t.Context()), lanyard.ErrUnavailable)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("Check() took %v, want 10s", took)
		}
	})
}
