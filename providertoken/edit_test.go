package providertoken_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

// twoKeys is a platform at two addresses of its own, with two secrets.
func twoKeys() providertoken.Definition {
	d := acme("X-Key")
	d.Methods[0].Fields = []providertoken.Field{
		{Name: "site", Label: "Site", Type: providertoken.TypeDNSLabel, Origin: true},
		{Name: "note", Label: "Note", Public: true, Optional: true},
		{Name: "key", Label: "Key"}, {Name: "second", Label: "Second key"},
		{Name: "third", Label: "Third key", Optional: true},
	}
	d.Methods[0].Headers["X-Site"] = "{site}" // so that an instance asks for it too
	d.Methods[0].Headers["X-Second"] = "{second}"
	d.Methods[0].Headers["X-Third"] = "{third}"
	return d
}

func twoKeysPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{recorder: &recorder{}}
	server, err := providertest.NewServer(p.recorder)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	p.world = newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, twoKeys()), append(o.Instances, instance(server))
	})
	p.token, err = p.tokens.Create(t.Context(), ana, twoKeysRequest())
	ok(t, err)
	return p
}

func twoKeysRequest() providertoken.CreateRequest {
	return providertoken.CreateRequest{
		ProviderID: "acme-x", Label: "first", Fields: map[string]string{"site": "one", "note": "mine"},
		Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret(anaSecret), "second": lanyard.NewSecret("canary-second-1")},
	}
}

// A secret that is absent stays; one that is there has to be a secret.
func TestAnAbsentSecretIsKept(t *testing.T) {
	t.Parallel()
	p := twoKeysPlatform(t)
	got, err := p.tokens.Update(t.Context(), ana, p.token.ID, secrets("second", "canary-second-2"))
	ok(t, err)
	last := p.last()
	if last.header.Get("X-Key") != anaSecret || last.header.Get("X-Second") != "canary-second-2" {
		t.Error("the edit was not verified with the kept and the new secret together")
	}
	row := p.row(t, p.token.ID)
	if row.Secrets["key"].Version != 1 || row.Secrets["second"].Version != 2 || len(got.Secrets) != 2 {
		t.Errorf("versions %d and %d, %d secrets; want 1, 2 and 2", row.Secrets["key"].Version, row.Secrets["second"].Version, len(got.Secrets))
	}
	got, err = p.tokens.Update(t.Context(), ana, p.token.ID, providertoken.UpdateRequest{Fields: map[string]string{"note": ""}})
	ok(t, err)
	if _, there := got.Fields["note"]; there || got.Fields["site"] != "one" {
		t.Errorf("after an empty optional field: %v", got.Fields)
	}
	before, seen := p.row(t, p.token.ID), p.count()
	for name, r := range map[string]providertoken.UpdateRequest{
		"the zero Secret":   {Secrets: map[string]lanyard.Secret{"second": {}}},
		"an empty one":      secrets("second", ""),
		"white space":       secrets("second", " \t\n"),
		"asterisks":         secrets("second", "********"),
		"bullets":           secrets("second", "••••••••"),
		"dots":              secrets("second", "........"),
		"circles":           secrets("second", "●●●●"),
		"optional, empty":   secrets("third", ""),
		"optional, masked":  secrets("third", "****"),
		"an unknown one":    secrets("fourth", "x"),
		"a field's name":    secrets("site", "x"),
		"required, emptied": {Fields: map[string]string{"site": ""}},
		"another owner's":   {Fields: map[string]string{"owner": "ben"}},
	} {
		_, err := p.tokens.Update(t.Context(), ana, p.token.ID, r)
		var input *lanyard.InputError
		if !errors.As(err, &input) {
			t.Errorf("%s: Update = %v, want *InputError", name, err)
		}
	}
	if now := p.row(t, p.token.ID); now.Version != before.Version || p.count() != seen {
		t.Errorf("refused edits left version %d after %d probes, want %d and none", now.Version, p.count()-seen, before.Version)
	}
}

// Where the address changes no secret is carried over: each is asked for.
func TestANewAddressWantsEverySecret(t *testing.T) {
	t.Parallel()
	p := twoKeysPlatform(t)
	r := providertoken.UpdateRequest{Fields: map[string]string{"site": "two"}, Secrets: map[string]lanyard.Secret{}}
	seen := p.count()
	_, err := p.tokens.Update(t.Context(), ana, p.token.ID, r)
	for _, name := range []string{"key", "second"} {
		if inputCode(err, "secrets/"+name) != providertoken.CodeSecretRequired {
			t.Errorf("without any secret: Update = %v, want secret-required for %s", err, name)
		}
	}
	if inputCode(err, "secrets/third") != "" {
		t.Errorf("an optional secret that is not there is asked for: %v", err)
	}
	r.Secrets["key"] = lanyard.NewSecret(newSecret)
	_, err = p.tokens.Update(t.Context(), ana, p.token.ID, r)
	if inputCode(err, "secrets/second") != providertoken.CodeSecretRequired || inputCode(err, "secrets/key") != "" {
		t.Errorf("with one of two: Update = %v, want secret-required for the other", err)
	}
	if p.count() != seen {
		t.Error("something was sent")
	}
	r.Secrets["second"] = lanyard.NewSecret("canary-second-2")
	_, err = p.tokens.Update(t.Context(), ana, p.token.ID, r)
	ok(t, err)
	row := p.row(t, p.token.ID)
	if row.Fields["site"] != "two" || row.Secrets["key"].Version != 2 || row.Secrets["second"].Version != 2 {
		t.Errorf("after the move: %v with versions %d and %d", row.Fields, row.Secrets["key"].Version, row.Secrets["second"].Version)
	}
	// The same address in other letters is no change.
	_, err = p.tokens.Update(t.Context(), ana, p.token.ID, providertoken.UpdateRequest{Fields: map[string]string{"site": " TWO "}})
	ok(t, err)
}

// An optional secret that is stored is asked for too: it would be lost.
func TestANewAddressWantsAStoredOptionalSecret(t *testing.T) {
	t.Parallel()
	p := twoKeysPlatform(t)
	_, err := p.tokens.Update(t.Context(), ana, p.token.ID, secrets("third", "canary-third-1"))
	ok(t, err)
	_, err = p.tokens.Update(t.Context(), ana, p.token.ID, providertoken.UpdateRequest{
		Fields:  map[string]string{"site": "two"},
		Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret("a"), "second": lanyard.NewSecret("b")},
	})
	if inputCode(err, "secrets/third") != providertoken.CodeSecretRequired {
		t.Errorf("Update = %v, want secret-required for third", err)
	}
}

// Who writes the table by hand still cannot make one sealed secret open in
// another's place.
func TestSwappedCiphertextsDoNotOpen(t *testing.T) {
	t.Parallel()
	type rows struct{ ana, second, ben store.ProviderToken }
	for name, spoil := range map[string]func(rows) store.ProviderToken{
		"between fields": func(r rows) store.ProviderToken {
			key, second := r.ana.Secrets["key"], r.ana.Secrets["second"]
			r.ana.Secrets["key"], r.ana.Secrets["second"] = second, key
			return r.ana
		},
		"a field copied": func(r rows) store.ProviderToken {
			r.ana.Secrets["second"] = r.ana.Secrets["key"]
			return r.ana
		},
		"between rows": func(r rows) store.ProviderToken {
			r.ana.Secrets = r.second.Secrets
			return r.ana
		},
		"between owners": func(r rows) store.ProviderToken {
			r.ana.Secrets = r.ben.Secrets
			return r.ana
		},
		"another destination": func(r rows) store.ProviderToken {
			r.ana.Fields["site"] = "evil"
			return r.ana
		},
		"no destination": func(r rows) store.ProviderToken {
			delete(r.ana.Fields, "site")
			return r.ana
		},
		"an older version": func(r rows) store.ProviderToken {
			s := r.ana.Secrets["key"]
			s.Version--
			r.ana.Secrets["key"] = s
			return r.ana
		},
		"a later version": func(r rows) store.ProviderToken {
			s := r.ana.Secrets["key"]
			s.Version++
			r.ana.Secrets["key"] = s
			return r.ana
		},
		"a flipped bit": func(r rows) store.ProviderToken {
			s := r.ana.Secrets["key"]
			s.Envelope[len(s.Envelope)-1] ^= 1
			return r.ana
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := twoKeysPlatform(t)
			r := twoKeysRequest()
			r.Label = "second"
			second, err := p.tokens.Create(t.Context(), ana, r)
			ok(t, err)
			bens, err := p.tokens.Create(t.Context(), ben, r)
			ok(t, err)
			bensRow, err := p.store.ProviderToken(t.Context(), ben, bens.ID)
			ok(t, err)
			row := spoil(rows{ana: p.row(t, p.token.ID), second: p.row(t, second.ID), ben: bensRow})
			e := lanyard.NewEvent(t.Context(), p.clock.Now(), ana, "test", row.ID)
			ok(t, p.store.UpdateProviderToken(t.Context(), row, e))
			seen := p.count()
			for what, err := range map[string]error{
				"Verify": errOf(p.tokens.Verify(t.Context(), ana, row.ID)),
				"Update": errOf(p.tokens.Update(t.Context(), ana, row.ID, providertoken.UpdateRequest{Fields: map[string]string{"note": "x"}})),
				"Client": errOf(p.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x", Label: "first"}, nil)),
			} {
				if !errors.Is(err, crypto.ErrIntegrity) && !errors.Is(err, crypto.ErrUnknownKey) {
					t.Errorf("%s = %v, want it not to open", what, err)
				}
			}
			if p.count() != seen {
				t.Error("something was sent")
			}
		})
	}
}

func errOf[T any](_ T, err error) error { return err }

// A secret that does not open any more is mended by typing it again.
func TestATypedSecretReplacesOneThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	p := twoKeysPlatform(t)
	row := p.row(t, p.token.ID)
	broken := row.Secrets["key"]
	broken.Envelope[len(broken.Envelope)-1] ^= 1
	ok(t, p.store.UpdateProviderToken(t.Context(), row, lanyard.NewEvent(t.Context(), p.clock.Now(), ana, "test", row.ID)))
	is(t, "an edit that keeps it", errOf(p.tokens.Update(t.Context(), ana, row.ID, secrets("second", "x"))), crypto.ErrIntegrity)
	ok(t, errOf(p.tokens.Update(t.Context(), ana, row.ID, secrets("key", newSecret))))
	ok(t, errOf(p.tokens.Verify(t.Context(), ana, row.ID)))
}

// Of edits that know one version exactly one is made.
func TestConcurrentEdits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	const n = 16
	errs := make([]error, n)
	var group, read sync.WaitGroup
	read.Add(n)
	w = newWorldOver(t, w, meeting{w.store, &read})
	for i := range n {
		group.Go(func() {
			label := fmt.Sprint("label ", i)
			r := providertoken.UpdateRequest{Version: token.Version, Label: &label}
			if i%2 == 0 {
				r.Secrets = map[string]lanyard.Secret{"token": lanyard.NewSecret(newSecret)}
			}
			_, errs[i] = w.tokens.Update(t.Context(), ana, token.ID, r)
		})
	}
	group.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Errorf("edits %d and %d both won", won, i)
		case err == nil:
			won = i
		case !errors.Is(err, lanyard.ErrConflict):
			t.Errorf("edit %d = %v, want nil or ErrConflict", i, err)
		}
	}
	now, err := w.store.ProviderToken(t.Context(), ana, token.ID)
	ok(t, err)
	if won < 0 || now.Version != token.Version+1 || now.Label != fmt.Sprint("label ", won) {
		t.Errorf("edit %d won, and the connection is %q, version %d", won, now.Label, now.Version)
	}
	if got := w.actions(); len(got) != 1 {
		t.Errorf("events %v, want one of the edit that won", got)
	}
}

// meeting is a store whose readers of a connection wait until all have read it.
type meeting struct {
	providertoken.Store
	all *sync.WaitGroup
}

func (m meeting) ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (store.ProviderToken, error) {
	row, err := m.Store.ProviderToken(ctx, owner, id)
	m.all.Done()
	m.all.Wait()
	return row, err
}

func TestDeleteNamesTheVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	is(t, "Delete of a stale version", w.tokens.Delete(t.Context(), ana, token.ID, token.Version+1), lanyard.ErrConflict)
	is(t, "Delete by somebody else", w.tokens.Delete(t.Context(), ben, token.ID, 0), lanyard.ErrNotFound)
	ok(t, w.tokens.Delete(t.Context(), ana, token.ID, token.Version))
	_, err := w.tokens.Token(t.Context(), ana, token.ID)
	is(t, "Token after Delete", err, lanyard.ErrNotFound)
	if got := w.actions(); !slices.Equal(got, []string{providertoken.ActionCreated, providertoken.ActionDeleted}) {
		t.Errorf("events %v", got)
	}
	w.connect(t) // its label is free again
}

// The limit holds however many come at once, and so does one label's.
func TestLimitsUnderConcurrency(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		label  func(i int) string
		stored int
		want   error
	}{
		{"the limit", func(i int) string { return fmt.Sprint("label ", i) }, 4, lanyard.ErrLimit},
		{"one label", func(int) string { return "work" }, 1, lanyard.ErrExists},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *providertoken.Options) { o.Limit = 4 })
			var group sync.WaitGroup
			errs := make([]error, 24)
			for i := range errs {
				group.Go(func() {
					r := request("jira-data-center", anaSecret)
					r.Label = c.label(i)
					_, errs[i] = w.tokens.Create(t.Context(), ana, r)
				})
			}
			group.Wait()
			made := 0
			for _, err := range errs {
				if err == nil {
					made++
				} else if !errors.Is(err, c.want) {
					t.Errorf("Create = %v, want nil or %v", err, c.want)
				}
			}
			tokens, err := w.tokens.Tokens(t.Context(), ana)
			ok(t, err)
			if made != c.stored || len(tokens) != c.stored || len(w.actions()) != c.stored {
				t.Errorf("%d made, %d stored, %d events; want %d of each", made, len(tokens), len(w.actions()), c.stored)
			}
			other := request("jira-data-center", anaSecret)
			_, err = w.tokens.Create(t.Context(), ben, other)
			ok(t, err)
		})
	}
}

func TestLimitDefaults(t *testing.T) {
	t.Parallel()
	for set, want := range map[int]int{0: 100, 7: 7, -1: -1} {
		w := newWorld(t, func(o *providertoken.Options) { o.Limit = set })
		if got := w.tokens.Limit(); got != want {
			t.Errorf("Limit set to %d is %d, want %d", set, got, want)
		}
	}
}

// An edit that is not verified says so, and only where the user asked for it.
func TestAnUnreachablePlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	w.fakes["jira-data-center"].Tell(providertest.Broken)
	r := secrets("token", newSecret)
	_, err := w.tokens.Update(t.Context(), ana, token.ID, r)
	var refused *providertoken.VerificationError
	if !errors.As(err, &refused) || refused.Verdict != providertoken.VerdictUnreachable {
		t.Errorf("Update = %v, want unreachable", err)
	}
	r.AllowUnverified = true
	got, err := w.tokens.Update(t.Context(), ana, token.ID, r)
	ok(t, err)
	if got.Status != providertoken.StatusUnverified || got.Account != nil || got.Verdict != "" || !got.CheckedAt.IsZero() {
		t.Errorf("an edit without an answer left %s as %+v, verdict %q", got.Status, got.Account, got.Verdict)
	}
	// What the platform said against it cannot be waved through.
	for _, lie := range []providertest.Lie{providertest.LoginFailed, providertest.Busy, providertest.NoRight, providertest.Missing, providertest.NoIdentity, providertest.HTMLPage} {
		w.fakes["jira-data-center"].Tell(lie)
		if _, err := w.tokens.Update(t.Context(), ana, token.ID, r); !errors.As(err, &refused) {
			t.Errorf("%s: Update = %v, want *VerificationError although unverified is allowed", lie, err)
		}
	}
	w.fakes["jira-data-center"].Tell(providertest.Truth)
	_, err = w.tokens.Verify(t.Context(), ana, token.ID)
	ok(t, err)
	now, err := w.tokens.Token(t.Context(), ana, token.ID)
	if err != nil || now.Status != providertoken.StatusConnected || now.Account == nil {
		t.Errorf("after Verify: %s as %+v (%v)", now.Status, now.Account, err)
	}
}

// Nothing speaks for an owner who was deactivated; what is his can be read and
// deleted.
func TestADeactivatedOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	seen := len(w.fakes["jira-data-center"].Requests())
	e := lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "owner.deactivated", "")
	ok(t, w.store.Deactivate(t.Context(), ana, w.clock.Now(), e))
	is(t, "Create", errOf(w.tokens.Create(t.Context(), ana, request("github", anaSecret))), lanyard.ErrDeactivated)
	is(t, "Update", errOf(w.tokens.Update(t.Context(), ana, token.ID, secrets("token", newSecret))), lanyard.ErrDeactivated)
	is(t, "Verify", errOf(w.tokens.Verify(t.Context(), ana, token.ID)), lanyard.ErrDeactivated)
	is(t, "Client", errOf(w.tokens.Client(t.Context(), ana, ref, nil)), lanyard.ErrDeactivated)
	if n := len(w.fakes["jira-data-center"].Requests()) + len(w.fakes["github"].Requests()); n != seen {
		t.Errorf("%d requests went out", n-seen)
	}
	_, err := w.tokens.Token(t.Context(), ana, token.ID)
	ok(t, err)
	ok(t, w.tokens.Delete(t.Context(), ana, token.ID, 0))
}

// A secret's own time stays where it is when something else is edited.
func TestALabelTouchesNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := request("jira-cloud", anaSecret)
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	before := w.row(t, token.ID)
	w.clock.Add(time.Hour)
	label := "work"
	_, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Label: &label})
	ok(t, err)
	after := w.row(t, token.ID)
	if !maps.EqualFunc(before.Secrets, after.Secrets, func(a, b store.SealedSecret) bool {
		return a.Version == b.Version && a.UpdatedAt.Equal(b.UpdatedAt) && string(a.Envelope) == string(b.Envelope)
	}) {
		t.Error("a new label touched the sealed secret")
	}
	if !after.CheckedAt.Equal(before.CheckedAt) || !after.ExpiresAt.Equal(before.ExpiresAt) || after.Account != before.Account || !after.UpdatedAt.Equal(w.clock.Now()) {
		t.Errorf("a new label changed %+v to %+v", before, after)
	}
	r.Label = "other"
	other, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	_, err = w.tokens.Update(t.Context(), ana, other.ID, providertoken.UpdateRequest{Label: &label})
	is(t, "Update to a label that is taken", err, lanyard.ErrExists)
}

// An edit that changes nothing is no edit: a form that is open elsewhere does
// not go stale by it, and the history does not tell of it.
func TestAnEditThatChangesNothing(t *testing.T) {
	t.Parallel()
	p := twoKeysPlatform(t)
	end := p.clock.Now().AddDate(0, 1, 0)
	before, err := p.tokens.Update(t.Context(), ana, p.token.ID, providertoken.UpdateRequest{ExpiresAt: &end})
	ok(t, err)
	events, probes := p.actions(), p.count()
	p.clock.Add(time.Hour)
	label, finer := " first ", end.Add(time.Nanosecond).In(time.FixedZone("", 3600))
	for name, r := range map[string]providertoken.UpdateRequest{
		"nothing":           {},
		"its version":       {Version: before.Version},
		"its label":         {Label: &label},
		"its fields":        {Fields: map[string]string{"site": " ONE ", "note": "mine"}},
		"its end":           {ExpiresAt: &finer},
		"all of it":         {Label: &label, Fields: map[string]string{"site": "one"}, ExpiresAt: &end, AllowUnverified: true},
		"no fields at all":  {Fields: map[string]string{}},
		"no secrets at all": {Secrets: map[string]lanyard.Secret{}},
	} {
		got, err := p.tokens.Update(t.Context(), ana, p.token.ID, r)
		if err != nil || !reflect.DeepEqual(got, before) {
			t.Errorf("%s: Update = %+v, %v, want %+v", name, got, err, before)
		}
	}
	if row := p.row(t, p.token.ID); row.Version != before.Version || len(p.actions()) != len(events) || p.count() != probes {
		t.Errorf("version %d, events %v and %d probes; want %d, %v and none", row.Version, p.actions(), p.count()-probes, before.Version, events)
	}
	_, err = p.tokens.Update(t.Context(), ana, p.token.ID, providertoken.UpdateRequest{Version: before.Version - 1})
	is(t, "such an edit of another version", err, lanyard.ErrConflict)
	got, err := p.tokens.Update(t.Context(), ana, p.token.ID, secrets("key", anaSecret))
	ok(t, err)
	if got.Version != before.Version+1 || p.count() != probes+1 {
		t.Errorf("the same secret again gave version %d after %d probes, want %d and 1", got.Version, p.count()-probes, before.Version+1)
	}
}

// Who writes the table by hand cannot put a credential of his own in the place
// of one: what is not sealed is no secret.
func TestAPlainValueIsNoSecret(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(store.ProviderToken){
		"in the place of all": func(row store.ProviderToken) {
			clear(row.Secrets)
			row.Fields["key"], row.Fields["second"] = newSecret, "canary-second-2"
		},
		"in the place of one": func(row store.ProviderToken) {
			delete(row.Secrets, "key")
			row.Fields["key"] = newSecret
		},
		"of an optional one": func(row store.ProviderToken) { row.Fields["third"] = "canary-third-1" },
		"one is missing":     func(row store.ProviderToken) { delete(row.Secrets, "second") },
	} {
		p := twoKeysPlatform(t)
		row := p.row(t, p.token.ID)
		spoil(row)
		ok(t, p.store.UpdateProviderToken(t.Context(), row, lanyard.NewEvent(t.Context(), p.clock.Now(), ana, "test", row.ID)))
		v, err := p.tokens.Verify(t.Context(), ana, row.ID)
		if len(row.Secrets) == 2 {
			ok(t, err)
		} else {
			is(t, name+": Verify", err, providertoken.ErrSecretLost)
			is(t, name+": Client", errOf(p.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)), providertoken.ErrSecretLost)
		}
		if last := p.last(); last.header.Get("X-Key") != anaSecret || last.header.Get("X-Second") != "canary-second-1" || last.header.Get("X-Third") != "" {
			t.Errorf("%s: %v was sent, and the verdict is %s", name, last.header, v.Verdict)
		}
	}
}

// A definition may change in what nothing is sealed for. Under another name a
// secret is another one.
func TestWhatADefinitionMayChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*providertoken.Definition)
		want   error
	}{
		"texts, a header, a public field": {func(d *providertoken.Definition) {
			m := &d.Methods[0]
			d.Name, m.Label, m.Fields[1].Name, m.Fields[2].Label = "Acme 2", "Keys", "remark", "First key"
			m.Headers["X-Other"], m.Headers["X-Second"] = "{key}", "again {second}"
		}, nil},
		"the order of fields":        {func(d *providertoken.Definition) { slices.Reverse(d.Methods[0].Fields) }, nil},
		"a further secret, optional": {func(d *providertoken.Definition) { addSecret(d, true) }, nil},
		"a further secret, required": {func(d *providertoken.Definition) { addSecret(d, false) }, providertoken.ErrSecretLost},
		"a secret's name": {func(d *providertoken.Definition) {
			d.Methods[0].Fields[2].Name = "k"
			d.Methods[0].Headers["X-Key"] = "{k}"
		}, providertoken.ErrSecretLost},
		"the name of what decides the address": {func(d *providertoken.Definition) {
			d.Methods[0].Fields[0].Name, d.Methods[0].Headers["X-Site"] = "place", "{place}"
		}, providertoken.ErrSecretLost},
		"the method's id": {func(d *providertoken.Definition) { d.Methods[0].ID = "keys" }, providertoken.ErrNotOffered},
	} {
		p := twoKeysPlatform(t)
		d := twoKeys()
		c.change(&d)
		o := p.options
		o.Providers = append(slices.Clone(o.Providers[:len(o.Providers)-1]), d)
		later, err := providertoken.NewService(p.store, p.sealer, &o)
		ok(t, err)
		_, err = later.Verify(t.Context(), ana, p.token.ID)
		is(t, name+": Verify", err, c.want)
	}
}

func addSecret(d *providertoken.Definition, optional bool) {
	m := &d.Methods[0]
	m.Fields = append(m.Fields, providertoken.Field{Name: "fourth", Label: "Fourth key", Optional: optional})
	m.Headers["X-Fourth"] = "{fourth}"
}
