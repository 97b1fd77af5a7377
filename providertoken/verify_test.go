package providertoken_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

func TestATrueAnswerNamesTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for definition, want := range map[string]providertoken.Account{
		"jira-data-center": {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
		"jira-cloud":       {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
		"azure-devops":     {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
		"businessmap":      {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
		"servicenow":       {ID: "sys-ana", Name: "Ana Lima"},
		"github":           {ID: "583231", Name: "ana", Email: "ana@acme.example"},
	} {
		got, err := w.tokens.Create(t.Context(), ana, request(definition, anaSecret))
		if err != nil {
			t.Errorf("Create(%s) = %v", definition, err)
			continue
		}
		if got.Account == nil || *got.Account != want {
			t.Errorf("Create(%s) names %+v, want %+v", definition, got.Account, want)
		}
		if got.Verdict != providertoken.VerdictOK || got.Origin != w.urls[definition] {
			t.Errorf("Create(%s) = %s on %s", definition, got.Verdict, got.Origin)
		}
	}
}

// Every way in which a platform answers something else than the truth, and
// what it is worth. What is not listed is worth the verdict under "".
func TestLies(t *testing.T) {
	t.Parallel()
	const (
		invalid     = providertoken.VerdictInvalid
		scope       = providertoken.VerdictInsufficientScope
		wrong       = providertoken.VerdictWrongInstance
		limited     = providertoken.VerdictRateLimited
		unreachable = providertoken.VerdictUnreachable
	)
	common := map[providertest.Lie]providertoken.Verdict{
		providertest.Redirect: wrong, providertest.HTMLPage: wrong, providertest.SignInPage: wrong,
		providertest.NoRight: scope, providertest.Busy: limited, providertest.Broken: unreachable,
		providertest.CutOff: unreachable, providertest.Endless: unreachable, providertest.NotJSON: invalid,
		providertest.WrongType: invalid, providertest.NoIdentity: invalid, providertest.Missing: wrong,
		providertest.Anonymous: invalid, providertest.Captcha: invalid, providertest.LoginFailed: invalid,
		providertest.Down: unreachable, providertest.Unseen: wrong, providertest.Unfit: invalid,
	}
	own := map[string]map[providertest.Lie]providertoken.Verdict{
		"jira-data-center": {},
		"jira-cloud": {
			providertest.Redirect: invalid, providertest.HTMLPage: invalid, providertest.SignInPage: invalid,
			providertest.Anonymous: "", // the header is not known of the cloud
		},
		"azure-devops": {
			providertest.Redirect: invalid, providertest.HTMLPage: invalid, providertest.SignInPage: invalid,
			providertest.Unseen: scope,
		},
		"businessmap": {providertest.NoRight: invalid},
		"servicenow": {
			providertest.Redirect: invalid, providertest.HTMLPage: unreachable, providertest.SignInPage: unreachable,
		},
		"github": {
			providertest.Redirect: invalid, providertest.HTMLPage: invalid, providertest.SignInPage: invalid,
			providertest.Missing: invalid, providertest.Unseen: invalid,
		},
	}
	for definition, exceptions := range own {
		t.Run(definition, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			for lie, want := range common {
				if exception, ok := exceptions[lie]; ok {
					want = exception
				}
				if want == "" {
					continue
				}
				w.fakes[definition].Tell(lie)
				_, err := w.tokens.Create(t.Context(), ana, request(definition, anaSecret))
				var refused *providertoken.VerificationError
				if !errors.As(err, &refused) || refused.Verdict != want {
					t.Errorf("%s: Create = %v, want %s", lie, err, want)
				}
			}
			w.fakes[definition].Tell(providertest.Truth)
			_, err := w.tokens.Create(t.Context(), ana, request(definition, "unknown-token"))
			var refused *providertoken.VerificationError
			if !errors.As(err, &refused) || refused.Verdict != invalid {
				t.Errorf("an unknown token: Create = %v, want invalid", err)
			}
			tokens, err := w.tokens.Tokens(t.Context(), ana)
			if err != nil || len(tokens) != 0 || len(w.actions()) != 0 {
				t.Errorf("after refusals there are %d connections and events %v (%v)", len(tokens), w.actions(), err)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	ok(t, err)
	dead := "https://" + closed.Addr().String()
	ok(t, closed.Close())
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, change := range map[string]func(*world, *providertoken.Instance){
		"nobody listens": func(_ *world, i *providertoken.Instance) { i.Base, i.Networks = dead, loopback },
		"no such host":   func(_ *world, i *providertoken.Instance) { i.Base = "https://does-not-exist.invalid" },
		"private address, not allowed": func(_ *world, i *providertoken.Instance) {
			i.Networks = nil
		},
		"unknown authority": func(_ *world, i *providertoken.Instance) { i.RootCAs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w2 := newWorld(t, func(o *providertoken.Options) {
				for n := range o.Instances {
					if o.Instances[n].Provider == "jira-data-center" {
						change(w, &o.Instances[n])
					}
				}
			})
			r := request("jira-data-center", anaSecret)
			_, err := w2.tokens.Create(t.Context(), ana, r)
			var refused *providertoken.VerificationError
			if !errors.As(err, &refused) || refused.Verdict != providertoken.VerdictUnreachable {
				t.Fatalf("Create = %v, want unreachable", err)
			}
			r.AllowUnverified = true
			got, err := w2.tokens.Create(t.Context(), ana, r)
			ok(t, err)
			if got.Status != providertoken.StatusUnverified || got.Account != nil {
				t.Errorf("Create without checking = %s as %+v, want unverified", got.Status, got.Account)
			}
			if n := len(w2.fakes["jira-data-center"].Requests()); n != 0 {
				t.Errorf("%d requests arrived all the same", n)
			}
		})
	}
}

func TestASilentPlatformIsUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *providertoken.Options) { o.VerifyTimeout = 50 * time.Millisecond })
	w.fakes["jira-data-center"].Tell(providertest.Silent)
	_, err := w.tokens.Create(t.Context(), ana, request("jira-data-center", anaSecret))
	var refused *providertoken.VerificationError
	if !errors.As(err, &refused) || refused.Verdict != providertoken.VerdictUnreachable {
		t.Errorf("Create = %v, want unreachable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = w.tokens.Create(ctx, ana, request("jira-data-center", anaSecret))
	is(t, "Create given up by its caller", err, context.DeadlineExceeded)
	is(t, "Create given up by its caller", err, lanyard.ErrUnavailable)
}

func TestVerifyKeepsWhatDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	verify := func(lie providertest.Lie, want providertoken.Verdict, status providertoken.Status) {
		t.Helper()
		w.clock.Add(time.Hour)
		w.fakes["jira-data-center"].Tell(lie)
		got, err := w.tokens.Verify(t.Context(), ana, token.ID)
		ok(t, err)
		now, err := w.tokens.Token(t.Context(), ana, token.ID)
		ok(t, err)
		if got.Verdict != want || now.Status != status {
			t.Errorf("%s: Verify = %s and the connection is %s, want %s and %s", lie, got.Verdict, now.Status, want, status)
		}
	}
	verify(providertest.Truth, providertoken.VerdictOK, providertoken.StatusConnected)
	verify(providertest.Broken, providertoken.VerdictUnreachable, providertoken.StatusConnected)
	verify(providertest.Busy, providertoken.VerdictRateLimited, providertoken.StatusConnected)
	verify(providertest.LoginFailed, providertoken.VerdictInvalid, providertoken.StatusNeedsAttention)
	verify(providertest.Broken, providertoken.VerdictUnreachable, providertoken.StatusNeedsAttention)
	verify(providertest.Truth, providertoken.VerdictOK, providertoken.StatusConnected)

	_, err := w.tokens.Verify(t.Context(), ben, token.ID)
	is(t, "Verify by somebody else", err, lanyard.ErrNotFound)
	want := []string{
		providertoken.ActionCreated, providertoken.ActionVerified, providertoken.ActionNeedsAttention, providertoken.ActionVerified,
	}
	if got := w.actions(); !equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func TestGitHubNamesTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	got, err := w.tokens.Create(t.Context(), ana, request("github", anaSecret))
	ok(t, err)
	if want := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC); !got.ExpiresAt.Equal(want) {
		t.Errorf("ExpiresAt = %v, want %v", got.ExpiresAt, want)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
