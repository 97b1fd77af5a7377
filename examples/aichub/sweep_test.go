package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// A key and a connection that are about to expire make one letter each for their
// owner, within the hour.
func TestSweepWarnsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logger := slog.New(slog.DiscardHandler)
		st := memory.New()
		ana := lanyard.Owner{Subject: "ana"}
		box := new(letterbox)
		letters, stopMail := startMail(t.Context(), box, st, logger)
		keys, err := apikey.NewService(st, &apikey.Options{OnEvent: letters.hear})
		if err != nil {
			t.Fatal(err)
		}
		_, err = keys.Create(t.Context(), ana, apikey.CreateRequest{Name: "ci", ExpiresAt: time.Now().Add(48 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		tokens := newTokens(t, st, letters.hear)
		_, err = tokens.Create(t.Context(), ana, providertoken.CreateRequest{
			ProviderID: "wiki", Label: "work", ExpiresAt: time.Now().Add(48 * time.Hour), AllowUnverified: true,
			Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret("canary-9f3kd82m")},
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := startSweep(t.Context(), logger,
			sweep{"api keys", func(ctx context.Context) (int, error) { return keys.Sweep(ctx, st) }},
			sweep{"provider tokens", func(ctx context.Context) (int, error) { return tokens.Sweep(ctx, st) }})
		<-time.After(23*time.Hour + time.Minute)
		synctest.Wait()
		if got := box.subjects(); len(got) != 0 {
			t.Errorf("letters more than a day before the end: %q, want none", got)
		}
		want := []string{"An API key expires soon", "A connection expires soon"}
		<-time.After(time.Hour)
		synctest.Wait()
		if got := box.subjects(); !slices.Equal(got, want) {
			t.Errorf("letters a day before the end: %q, want %q", got, want)
		}
		<-time.After(6 * time.Hour)
		synctest.Wait()
		if got := box.subjects(); !slices.Equal(got, want) {
			t.Errorf("letters after that: %q, want no more than %q", got, want)
		}
		for _, end := range []func(context.Context) error{stop, keys.Close, stopMail} {
			if err := end(context.Background()); err != nil {
				t.Errorf("close = %v", err)
			}
		}
	})
}

// A sweep that fails is a line of the log, and the next ones are done all the same.
func TestSweepFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newOutput()
		done := 0
		stop := startSweep(t.Context(), slog.New(slog.NewJSONHandler(log, nil)),
			sweep{"first", func(context.Context) (int, error) { return 0, lanyard.ErrUnavailable }},
			sweep{"second", func(context.Context) (int, error) { done++; return 0, nil }})
		<-time.After(2*time.Hour + time.Minute)
		synctest.Wait()
		if text := log.String(); done != 3 || !strings.Contains(text, `"sweep":"first"`) || strings.Contains(text, `"sweep":"second"`) {
			t.Errorf("the second sweep ran %d times, want 3; the log says %s", done, text)
		}
		if err := stop(context.Background()); err != nil {
			t.Errorf("stop = %v", err)
		}
	})
}

// newTokens is a service with one provider, which nobody reaches.
func newTokens(t *testing.T, st providertoken.Store, onEvent func(context.Context, lanyard.Event)) *providertoken.Service {
	t.Helper()
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "keys"), nil)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := crypto.NewSealer(ring, st.(store.OwnerKeys), nil) //nolint:forcetypeassert // every store is
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		OnEvent: onEvent,
		Providers: []providertoken.Definition{{
			ID: "wiki", Name: "Wiki", Unverifiable: true,
			Instance: providertoken.InstanceSpec{Mode: providertoken.ModeFixed, Base: "https://wiki.example"},
			Methods: []providertoken.Method{{
				ID: "token", Label: "Token", Fields: []providertoken.Field{{Name: "token", Label: "Token"}},
				Headers: map[string]string{"Authorization": "Bearer {token}"}, Lifetime: providertoken.Lifetime{AskUser: true},
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}
