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
