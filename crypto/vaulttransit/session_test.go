package vaulttransit_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// bubble runs a test in a bubble of package synctest, in parallel where that
// can be. In FIPS mode Go draws entropy from how long things take, which is
// nothing in a bubble, so randomness has to come from a seed there; that is
// global, and such a test has to run alone.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		cryptotest.SetGlobalRandom(t, 1)
	} else {
		t.Parallel()
	}
	synctest.Test(t, test)
}

// use wraps a key, which must end as wanted.
func use(t *testing.T, what string, secrets *vaulttransit.Transit, want error) {
	t.Helper()
	key := []byte("a key of thirty-two bytes, see ?")
	_, err := secrets.Wrap(t.Context(), key, []byte("place"))
	if want == nil {
		if err != nil {
			t.Errorf("Wrap() %s = %v, want nil", what, err)
		}
		return
	}
	wantOutcome(t, "Wrap() "+what, err, want, key)
}

// useFor uses it once a second for a time. All must succeed.
func useFor(t *testing.T, what string, secrets *vaulttransit.Transit, d time.Duration) {
	t.Helper()
	for range d / time.Second {
		<-time.After(time.Second)
		use(t, what, secrets, nil)
	}
}

// wantCounts fails the test unless the server saw that many.
func wantCounts(t *testing.T, what string, a *authority, logins, renewals, refused int) {
	t.Helper()
	if l, r, f := a.counts(); l != logins || r != renewals || f != refused {
		t.Errorf("%s: %d logins, %d renewals, %d requests refused, want %d, %d, %d", what, l, r, f, logins, renewals, refused)
	}
}

// New starts nothing. The first call logs in, once for all that wait.
func TestFirstLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		secrets := a.transit(t, approle(), nil)
		<-time.After(time.Hour)
		wantCounts(t, "before the first call", a, 0, 0, 0)
		a.change(func(a *authority) { a.onLogin = slowly(time.Second, a) })
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { use(t, "of one of many", secrets, nil) })
		}
		all.Wait()
		wantCounts(t, "after the first calls", a, 1, 0, 0)
		for i, h := range a.heard {
			if h.Get("X-Vault-Token") != "" || h.Get("X-Vault-Request") != "true" {
				t.Errorf("login %d has headers %v, want no token", i, h)
			}
		}
	})
}

// slowly lets the authority answer after a time.
func slowly(d time.Duration, a *authority) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			return
		}
		a.change(func(a *authority) { a.onLogin, a.logins = nil, a.logins[:len(a.logins)-1] })
		a.ServeHTTP(w, r)
	}
}

// A token is renewed at about two thirds of its lease, for as long as that is
// possible, also while nobody calls.
func TestRenewal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		secrets := a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		<-time.After(90 * time.Minute)
		useFor(t, "while the token is renewed", secrets, 30*time.Minute)
		logins, renewals, refused := a.counts()
		if logins != 1 || refused != 0 || renewals < 2*3600/40 || renewals > 2*3600/34 {
			t.Errorf("two hours with a lease of a minute took %d logins, %d renewals and %d refusals, want 1, about 190 and 0", logins, renewals, refused)
		}
		differ := false
		last := a.logins[0]
		for i, at := range a.renewals {
			d := at.Sub(last)
			if d < 34*time.Second-1 || d > 40*time.Second {
				t.Errorf("renewal %d came after %v, want two thirds of a minute at most and a little less", i, d)
			}
			differ = differ || i > 1 && d != a.renewals[i-1].Sub(a.renewals[i-2])
			last = at
		}
		if !differ {
			t.Error("all renewals came after the same time, want some jitter")
		}
	})
}

// Near the end of all its renewals a token is replaced before it ends.
func TestMaxTTL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, limit := range []time.Duration{30 * time.Second, time.Minute, 61 * time.Second, 150 * time.Second, 10 * time.Minute} {
			a := newAuthority()
			a.max = limit
			secrets := a.transit(t, approle(), nil)
			use(t, "at first", secrets, nil)
			useFor(t, fmt.Sprintf("with tokens of %v at most", limit), secrets, 30*time.Minute)
			_ = secrets.Close()
			logins, _, refused := a.counts()
			if least := int(30 * time.Minute / limit); refused != 0 || logins < least || logins > 3*least+1 {
				t.Errorf("half an hour of tokens of %v at most took %d logins and %d refusals, want few and 0", limit, logins, refused)
			}
			for i, at := range a.logins[1:] {
				if age := at.Sub(a.logins[i]); age > limit-5*time.Second {
					t.Errorf("a token of %v at most was replaced after %v, want it well before", limit, age)
				}
			}
		}
	})
}

// A token that cannot be renewed is replaced instead, one that never ends is
// left alone.
func TestLeases(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		a.lasting = true
		secrets := a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		useFor(t, "of a token that is not renewable", secrets, time.Hour)
		if logins, renewals, refused := a.counts(); renewals != 0 || refused != 0 || logins < 90 || logins > 107 {
			t.Errorf("an hour of tokens that are not renewable took %d logins, %d renewals and %d refusals, want about 95, 0 and 0", logins, renewals, refused)
		}
		_ = secrets.Close()

		for _, lease := range []time.Duration{0, 100 * 365 * 24 * time.Hour} {
			a = newAuthority()
			a.lease = lease
			secrets = a.transit(t, approle(), nil)
			use(t, "at first", secrets, nil)
			<-time.After(365 * 24 * time.Hour)
			use(t, "after a year", secrets, nil)
			wantCounts(t, "a year of a token that does not end", a, 1, 0, 0)
			_ = secrets.Close()
		}

		a = newAuthority()
		a.lease = time.Second
		secrets = a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		useFor(t, "of a lease of a second", secrets, time.Minute)
		if logins, _, refused := a.counts(); logins != 1 || refused != 0 {
			t.Errorf("a minute of a lease of a second took %d logins and %d refusals, want 1 and 0", logins, refused)
		}
	})
}

// Where renewals are refused or fail, a login comes in their place while the
// token is still good.
func TestRenewalFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, handler := range map[string]http.HandlerFunc{
			"refused":      answers(403, canaryText),
			"gone":         answers(404, canaryText),
			"sealed":       answers(503, canaryText),
			"nothing":      answers(204, ""),
			"no auth":      answers(200, `{"data":{}}`),
			"no lease":     answers(200, `{"auth":{"client_token":"x"}}`),
			"junk":         answers(200, "<html>"),
			"a redirect":   answers(307, ""),
			"no end of it": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		} {
			a := newAuthority()
			a.lease, a.onRenewal = 5*time.Minute, handler
			var log bytes.Buffer
			secrets := a.transit(t, approle(), &vaulttransit.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			use(t, "at first", secrets, nil)
			useFor(t, "while renewals are "+name, secrets, 12*time.Minute)
			if logins, renewals, refused := a.counts(); refused != 0 || renewals < logins-2 || logins < 3 || logins > 5 {
				t.Errorf("twelve minutes of renewals that are %s took %d logins, %d renewals and %d refusals, want as many and 0", name, logins, renewals, refused)
			}
			if wants := name != "no lease"; strings.Contains(log.String(), "renewal of the Vault token failed") != wants {
				t.Errorf("%s: the log says %q", name, log.String())
			}
			wantSilent(t, "the log", errors.New(log.String()), nil)
			_ = secrets.Close()
		}
	})
}

// An outage in the time of a renewal costs nothing while the token is good.
// After that calls fail, and the first one after the outage logs in.
func TestOutageOfLogins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		secrets := a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		sealed := func(a *authority) { a.onLogin, a.onRenewal = answers(503, canaryText), answers(503, canaryText) }
		a.change(sealed)
		useFor(t, "while the token is good", secrets, 59*time.Second)
		<-time.After(time.Second)
		for range 10 {
			use(t, "without a token", secrets, lanyard.ErrUnavailable)
		}
		a.change(func(a *authority) { a.onLogin, a.onRenewal = nil, nil })
		use(t, "after the outage", secrets, nil)

		// One that is over in time is not noticed.
		a.change(sealed)
		useFor(t, "in an outage", secrets, 45*time.Second)
		a.change(func(a *authority) { a.onLogin, a.onRenewal, a.refused = nil, nil, 0 })
		useFor(t, "after a short outage", secrets, 10*time.Minute)
		if _, _, refused := a.counts(); refused != 0 {
			t.Errorf("%d requests were refused after a short outage, want none", refused)
		}

		// While nobody calls, nobody is asked about a token that is over.
		a.change(sealed)
		<-time.After(2 * time.Minute)
		logins, renewals, _ := a.counts()
		<-time.After(24 * time.Hour)
		if l, r, _ := a.counts(); l != logins || r != renewals {
			t.Errorf("a day without a call or a token made %d logins and %d renewals, want none", l-logins, r-renewals)
		}
	})
}

// A token that was revoked is replaced once, however many come with it, and
// each of them asks once more.
func TestRevoked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		secrets := a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		a.revoke()
		a.change(func(a *authority) { a.onLogin = slowly(time.Second, a) })
		before := len(a.engine.requests())
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { use(t, "of one of many with a revoked token", secrets, nil) })
		}
		all.Wait()
		wantCounts(t, "a hundred with a revoked token", a, 2, 0, 100)
		if n := len(a.engine.requests()) - before; n != 100 {
			t.Errorf("a hundred calls made %d requests with the new token, want 100", n)
		}
		useFor(t, "with the new token", secrets, 10*time.Minute)
		if logins, _, refused := a.counts(); logins != 2 || refused != 100 {
			t.Errorf("%d logins and %d refusals after that, want 2 and 100", logins, refused)
		}
	})
}

// Who comes late with the token that was replaced takes the new one.
func TestRefusedLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		secrets := a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		held := make(chan struct{})
		var once sync.Once
		a.engine.instead(func(w http.ResponseWriter, _ *http.Request) {
			first := false
			once.Do(func() { first = true })
			if first {
				<-held
			}
			fails(w, http.StatusForbidden)
		})
		late := make(chan struct{})
		go func() {
			defer close(late)
			use(t, "of one that comes late", secrets, nil)
		}()
		synctest.Wait()
		a.revoke()
		a.engine.instead(nil)
		use(t, "of the first with a revoked token", secrets, nil)
		close(held)
		<-late
		wantCounts(t, "two with a revoked token", a, 2, 0, 1)
	})
}

// A policy that is too narrow refuses each token. That is no reason to log in
// for every call.
func TestNarrowPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		a.narrow = true
		secrets := a.transit(t, approle(), nil)
		use(t, "with a narrow policy", secrets, crypto.ErrDenied)
		wantCounts(t, "one call", a, 2, 0, 2)
		for range 1000 {
			use(t, "with a narrow policy", secrets, crypto.ErrDenied)
		}
		wantCounts(t, "a thousand calls", a, 2, 0, 1002)
		<-time.After(10 * time.Second)
		a.change(func(a *authority) { a.narrow = false })
		use(t, "with a policy that was mended", secrets, nil)
		wantCounts(t, "a call after that", a, 2, 0, 1002)
	})
}

// A login that is refused is repeated seldom, so that Vault does not lock the
// role for everybody.
func TestRefusedLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const s = time.Second
		for _, tt := range []struct {
			status int
			want   []time.Duration // of logins in half an hour
		}{
			{400, []time.Duration{0, 5 * s, 65 * s, 965 * s}},
			{403, []time.Duration{0, 5 * s, 65 * s, 125 * s, 185 * s, 245 * s}},
			{401, []time.Duration{0, 5 * s, 65 * s, 125 * s, 185 * s, 245 * s}},
			{404, []time.Duration{0, 5 * s, 65 * s, 125 * s, 185 * s, 245 * s}},
		} {
			a := newAuthority()
			a.onLogin = answers(tt.status, fmt.Sprintf(`{"errors":["%s %s"]}`, canaryText, canarySecretID))
			secrets := a.transit(t, approle(), nil)
			began := time.Now()
			for range 30 * 60 {
				use(t, "with a login that is refused", secrets, crypto.ErrDenied)
				<-time.After(s)
			}
			got := a.since(began)
			if len(got) < len(tt.want) || fmt.Sprint(got[:len(tt.want)]) != fmt.Sprint(tt.want) || tt.status == 400 && len(got) != len(tt.want) {
				t.Errorf("logins refused with %d were tried after %v, want %v", tt.status, got, tt.want)
			}
			a.change(func(a *authority) { a.onLogin = nil })
			<-time.After(15 * time.Minute)
			use(t, "with a login that is refused no more", secrets, nil)
		}
	})
}

// A secret id that is taken away is noticed when the token has to be replaced,
// and the token is good until then.
func TestRefusedLoginWhileTheTokenIsGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		a.max = 3 * time.Minute
		secrets := a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		a.change(func(a *authority) { a.secretID = "another" })
		useFor(t, "while the token is good", secrets, 3*time.Minute-time.Second)
		<-time.After(time.Second)
		use(t, "after that", secrets, crypto.ErrDenied)
		logins, _, _ := a.counts()
		if logins < 2 || logins > 4 {
			t.Errorf("%d logins, want at most 4", logins)
		}
	})
}

// A login that hangs costs who waits for it no more than his time, and others
// nothing.
func TestHangingLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		a.onLogin = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		client := a.client(t)
		client.SetClientTimeout(10 * time.Second)
		secrets := newTransit(t, client, "lanyard", &vaulttransit.Options{Auth: approle()})
		defer func() { _ = secrets.Close() }()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := secrets.Wrap(ctx, make([]byte, crypto.KeySize), []byte("place"))
		wantOutcome(t, "Wrap() within 300 ms", err, lanyard.ErrUnavailable, nil)
		if took := time.Since(began); took != 300*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wrap() within 300 ms took %v and ended in %v, want DeadlineExceeded then", took, err)
		}
		began = time.Now()
		use(t, "of who has time", secrets, lanyard.ErrUnavailable)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Wrap() of who has time took %v, want 5s at most", took)
		}
		a.change(func(a *authority) { a.onLogin = nil })
		use(t, "once logins do not hang", secrets, nil)
		if logins, _, _ := a.counts(); logins > 3 {
			t.Errorf("%d logins, want at most 3", logins)
		}
	})
}

// Close ends all there is: renewals, a login under way, and who waits for it.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		secrets := a.transit(t, approle(), nil)
		if err := secrets.Close(); err != nil {
			t.Errorf("Close() before the first call = %v, want nil", err)
		}
		if _, err := secrets.Wrap(t.Context(), make([]byte, 32), []byte("place")); !errors.Is(err, lanyard.ErrClosed) {
			t.Errorf("Wrap() after Close = %v, want ErrClosed", err)
		}
		wantCounts(t, "closed before the first call", a, 0, 0, 0)

		secrets = a.transit(t, approle(), nil)
		use(t, "at first", secrets, nil)
		for range 2 {
			if err := secrets.Close(); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
		}
		<-time.After(time.Hour)
		wantCounts(t, "an hour after Close", a, 1, 0, 0)

		a.onLogin = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		secrets = a.transit(t, approle(), nil)
		ended := make(chan struct{})
		began := time.Now()
		go func() {
			defer close(ended)
			use(t, "while it is closed", secrets, lanyard.ErrUnavailable)
		}()
		synctest.Wait()
		_ = secrets.Close()
		<-ended
		if took := time.Since(began); took != 0 {
			t.Errorf("Close() in the middle of a login took %v, want nothing", took)
		}
	})
}

// method is an auth method of a host's own.
type method func(ctx context.Context, client *api.Client) (*api.Secret, error)

func (m method) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	return m(ctx, client)
}

// What a login answers is not believed, and a method that is not ours cannot
// bring the process down or have its words repeated.
func TestLoginAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, handler := range map[string]http.HandlerFunc{
			"nothing":          answers(200, ""),
			"no content":       answers(204, ""),
			"null":             answers(200, "null"),
			"an empty object":  answers(200, "{}"),
			"no auth":          answers(200, `{"auth":null,"data":{"client_token":"hvs.x"}}`),
			"an empty auth":    answers(200, `{"auth":{}}`),
			"an empty token":   answers(200, `{"auth":{"client_token":"","lease_duration":60,"renewable":true}}`),
			"a negative lease": answers(200, `{"auth":{"client_token":"hvs.CANARY-x","lease_duration":-1}}`),
			"a huge lease":     answers(200, `{"auth":{"client_token":"hvs.CANARY-x","lease_duration":1e99}}`),
			"a wrapped token":  answers(200, `{"wrap_info":{"token":"hvs.CANARY-x"}}`),
			"a page":           answers(200, "<html>"+canaryText),
			"a redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.1:2/", http.StatusTemporaryRedirect)
			},
			"an outage":       answers(500, canaryText+canarySecretID),
			"too many":        answers(429, canaryText),
			"20 MB":           huge(200),
			"20 MB of errors": huge(400),
		} {
			a := newAuthority()
			a.onLogin = handler
			secrets := a.transit(t, approle(), nil)
			use(t, "after a login answered with "+name, secrets, lanyard.ErrUnavailable)
			a.change(func(a *authority) { a.onLogin = nil })
			use(t, "after "+name, secrets, nil)
		}
		good := &api.Secret{Auth: &api.SecretAuth{ClientToken: "hvs.CANARY-x", LeaseDuration: 60}}
		for name, tt := range map[string]struct {
			login method
			want  error
		}{
			"a panic":   {func(context.Context, *api.Client) (*api.Secret, error) { panic(canaryText) }, lanyard.ErrUnavailable},
			"nothing":   {func(context.Context, *api.Client) (*api.Secret, error) { return nil, nil }, lanyard.ErrUnavailable}, //nolint:nilnil // as a bad one would
			"its words": {func(context.Context, *api.Client) (*api.Secret, error) { return good, errors.New(canaryText) }, lanyard.ErrUnavailable},
			"a refusal": {func(context.Context, *api.Client) (*api.Secret, error) {
				return nil, &api.ResponseError{StatusCode: 403, Errors: []string{canaryText}, URL: canaryText}
			}, crypto.ErrDenied},
		} {
			a := newAuthority()
			var log bytes.Buffer
			secrets := a.transit(t, tt.login, &vaulttransit.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			use(t, "after a method of the host answered with "+name, secrets, tt.want)
			if log.Len() == 0 {
				t.Errorf("%s: the log is empty", name)
			}
			wantSilent(t, "the log", errors.New(log.String()), nil)
		}
	})
}

// A server that is busy is not asked to let somebody in again before it wants
// to be, within reason.
func TestBusyLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		a.onLogin = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			fails(w, http.StatusTooManyRequests)
		}
		secrets := a.transit(t, approle(), nil)
		for range 40 {
			use(t, "of a busy server", secrets, lanyard.ErrUnavailable)
			<-time.After(100 * time.Millisecond)
		}
		wantCounts(t, "in 4 s", a, 1, 0, 0)
		a.change(func(a *authority) { a.onLogin = nil })
		<-time.After(time.Second)
		use(t, "of one that was busy", secrets, nil)
	})
}

// A transport of the host that panics takes neither the host down nor the
// login with it.
func TestRenewalPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newAuthority()
		a.onRenewal = func(http.ResponseWriter, *http.Request) { panic("a transport of the host") }
		var log bytes.Buffer
		secrets := a.transit(t, approle(), &vaulttransit.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		use(t, "before the renewal", secrets, nil)
		useFor(t, "while renewals panic", secrets, 3*time.Minute)
		if text := log.String(); !strings.Contains(text, "renewing the Vault token panicked") || strings.Contains(text, "CANARY") {
			t.Errorf("the log says %q", text)
		}
	})
}
