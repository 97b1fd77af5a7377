package providertoken_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

func TestCreateRefusesBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		definition string
		change     func(*providertoken.CreateRequest)
		field      string
		code       string
	}{
		"unknown provider":                           {"github", func(r *providertoken.CreateRequest) { r.ProviderID = "nope" }, "provider_id", lanyard.CodeUnknown},
		"operator's definition without its instance": {"github", func(r *providertoken.CreateRequest) { r.ProviderID = "jira-data-center" }, "provider_id", lanyard.CodeUnknown},
		"unknown method":                             {"github", func(r *providertoken.CreateRequest) { r.MethodID = "nope" }, "method_id", lanyard.CodeUnknown},
		"label too long":                             {"github", func(r *providertoken.CreateRequest) { r.Label = strings.Repeat("x", 101) }, "label", lanyard.CodeTooLong},
		"label's control":                            {"github", func(r *providertoken.CreateRequest) { r.Label = "a\u202eb" }, "label", lanyard.CodeInvalid},
		"no secret":                                  {"github", func(r *providertoken.CreateRequest) { r.Secrets = nil }, "secrets/token", lanyard.CodeRequired},
		"blank secret":                               {"github", secret("  \n"), "secrets/token", lanyard.CodeRequired},
		"mask":                                       {"github", secret("••••••••"), "secrets/token", providertoken.CodeMasked},
		"asterisks":                                  {"github", secret("********"), "secrets/token", providertoken.CodeMasked},
		"line feed":                                  {"github", secret("a\nb"), "secrets/token", lanyard.CodeInvalid},
		"CRLF injection":                             {"github", secret("a\r\nX-Evil: 1"), "secrets/token", lanyard.CodeInvalid},
		"NUL":                                        {"github", secret("a\x00b"), "secrets/token", lanyard.CodeInvalid},
		"DEL":                                        {"github", secret("a\x7fb"), "secrets/token", lanyard.CodeInvalid},
		"not ASCII":                                  {"github", secret("tökén"), "secrets/token", lanyard.CodeInvalid},
		"space inside":                               {"github", secret("a b"), "secrets/token", lanyard.CodeInvalid},
		"invalid UTF-8":                              {"github", secret("a\xffb"), "secrets/token", lanyard.CodeInvalid},
		"9 KiB":                                      {"github", secret(strings.Repeat("x", 9<<10)), "secrets/token", lanyard.CodeTooLong},
		"unknown secret":                             {"github", func(r *providertoken.CreateRequest) { r.Secrets["other"] = lanyard.NewSecret("x") }, "secrets/other", lanyard.CodeUnknown},
		"secret as field":                            {"github", func(r *providertoken.CreateRequest) { r.Fields["token"] = "x" }, "fields/token", lanyard.CodeUnknown},
		"a value as name":                            {"github", func(r *providertoken.CreateRequest) { r.Fields[anaSecret] = "x" }, "fields", lanyard.CodeUnknown},
		"missing field":                              {"jira-cloud", field("email", ""), "fields/email", lanyard.CodeRequired},
		"no e-mail":                                  {"jira-cloud", field("email", "ana"), "fields/email", lanyard.CodeInvalid},
		"colon in user-id":                           {"jira-cloud", field("email", "a:b@acme.example"), "fields/email", lanyard.CodeInvalid},
		"host in a label":                            {"jira-cloud", publicField("site", "evil.example/"), "fields/site", lanyard.CodeInvalid},
		"brace in a label":                           {"jira-cloud", publicField("site", "{email}"), "fields/site", lanyard.CodeInvalid},
		"dot in a label":                             {"azure-devops", publicField("organization", "acme.evil"), "fields/organization", lanyard.CodeInvalid},
		"past expiry":                                {"github", func(r *providertoken.CreateRequest) { r.ExpiresAt = w.clock.Now() }, "expires_at", lanyard.CodeInvalid},
	} {
		r := request(c.definition, anaSecret)
		c.change(&r)
		_, err := w.tokens.Create(t.Context(), ana, r)
		if got := inputCode(err, c.field); got != c.code {
			t.Errorf("%s: Create = %v, want %s at %s", name, err, c.code, c.field)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
	for id, fake := range w.fakes {
		if n := len(fake.Requests()); n != 0 {
			t.Errorf("%d requests went to %s for refused input", n, id)
		}
	}
}

func secret(text string) func(*providertoken.CreateRequest) {
	return func(r *providertoken.CreateRequest) { r.Secrets["token"] = lanyard.NewSecret(text) }
}

// publicField is a field of the definition at its public address.
func publicField(name, value string) func(*providertoken.CreateRequest) {
	return func(r *providertoken.CreateRequest) {
		r.ProviderID = strings.TrimSuffix(r.ProviderID, "-x")
		r.Fields[name] = value
	}
}

func field(name, value string) func(*providertoken.CreateRequest) {
	return func(r *providertoken.CreateRequest) { r.Fields[name] = value }
}

func TestCreateStoresNothingReadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	row := w.row(t, token.ID)
	for what, v := range map[string]any{"row": row, "token": token, "events": w.events} {
		if text := fmt.Sprintf("%+v %s", v, v); strings.Contains(text, anaSecret) {
			t.Errorf("the %s holds the secret", what)
		}
	}
	if info := token.Secrets["token"]; !info.Set || !info.UpdatedAt.Equal(w.clock.Now()) || len(token.Secrets) != 1 {
		t.Errorf("Secrets = %+v", token.Secrets)
	}
	if row.Secrets["token"].Version != 1 || row.OwnerKeyID == "" {
		t.Errorf("the row's secret has version %d and owner key %q", row.Secrets["token"].Version, row.OwnerKeyID)
	}
}

func TestCreateTrimsAPastedSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.tokens.Create(t.Context(), ana, request("jira-data-center", " \t"+anaSecret+"\r\n"))
	ok(t, err)
}

func TestOneConnectionOfALabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *providertoken.Options) { o.Limit = 2 })
	w.connect(t)
	before := len(w.fakes["jira-data-center"].Requests())
	_, err := w.tokens.Create(t.Context(), ana, request("jira-data-center", anaSecret))
	is(t, "a second Create", err, lanyard.ErrExists)
	_, err = w.tokens.Create(t.Context(), ana, request("github", anaSecret))
	ok(t, err)
	_, err = w.tokens.Create(t.Context(), ana, request("businessmap", anaSecret))
	is(t, "Create at the limit", err, lanyard.ErrLimit)
	if n := len(w.fakes["jira-data-center"].Requests()) + len(w.fakes["businessmap"].Requests()); n != before {
		t.Error("a credential was sent out for a connection that cannot be stored")
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	fake := w.fakes["jira-data-center"]
	label := "work"

	probes := len(fake.Requests())
	w.clock.Add(time.Hour)
	got, err := w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Version: token.Version, Label: &label})
	ok(t, err)
	if got.Label != label || got.Version != token.Version+1 || !reflect.DeepEqual(got.Secrets, token.Secrets) {
		t.Errorf("a new label gave %+v", got)
	}
	if len(fake.Requests()) != probes {
		t.Error("a new label was verified")
	}
	if w.row(t, token.ID).Secrets["token"].Version != 1 {
		t.Error("a new label counted as a write of the secret")
	}

	_, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Version: token.Version, Label: &label})
	is(t, "Update of a stale version", err, lanyard.ErrConflict)
	_, err = w.tokens.Update(t.Context(), ben, token.ID, providertoken.UpdateRequest{Label: &label})
	is(t, "Update by somebody else", err, lanyard.ErrNotFound)

	_, err = w.tokens.Update(t.Context(), ana, token.ID, secrets("token", "wrong"))
	var refused *providertoken.VerificationError
	if !errors.As(err, &refused) {
		t.Errorf("Update with a wrong secret = %v, want *VerificationError", err)
	}
	if row := w.row(t, token.ID); row.Version != got.Version {
		t.Error("a refused secret changed the row")
	}
	got, err = w.tokens.Update(t.Context(), ana, token.ID, secrets("token", newSecret))
	ok(t, err)
	row := w.row(t, token.ID)
	if row.Secrets["token"].Version != 2 || !got.Secrets["token"].UpdatedAt.Equal(w.clock.Now()) {
		t.Errorf("a new secret has version %d, written %v", row.Secrets["token"].Version, got.Secrets["token"].UpdatedAt)
	}
	for _, text := range []string{"", " ", "****"} {
		_, err = w.tokens.Update(t.Context(), ana, token.ID, secrets("token", text))
		if inputCode(err, "secrets/token") == "" {
			t.Errorf("Update with %q = %v, want it refused", text, err)
		}
	}
}

func secrets(name, text string) providertoken.UpdateRequest {
	return providertoken.UpdateRequest{Secrets: map[string]lanyard.Secret{name: lanyard.NewSecret(text)}}
}

// Who may edit a connection but does not know its secret must not be able to
// send it somewhere else.
func TestANewDestinationWantsTheSecretsAgain(t *testing.T) {
	t.Parallel()
	fake := providertest.JiraCloud(accounts.Account)
	w := public(t, fake)
	token, err := w.tokens.Create(t.Context(), ana, siteRequest("acme", anaSecret))
	ok(t, err)
	probes := len(fake.Requests())
	move := providertoken.UpdateRequest{Fields: map[string]string{"site": "evil"}}
	_, err = w.tokens.Update(t.Context(), ana, token.ID, move)
	if inputCode(err, "secrets/api_token") != providertoken.CodeSecretRequired {
		t.Errorf("Update of the site alone = %v, want secret-required", err)
	}
	if len(fake.Requests()) != probes {
		t.Error("the secret was sent to the new destination")
	}
	move.Secrets = map[string]lanyard.Secret{"api_token": lanyard.NewSecret(newSecret)}
	got, err := w.tokens.Update(t.Context(), ana, token.ID, move)
	ok(t, err)
	if got.Fields["site"] != "evil" || w.row(t, token.ID).Secrets["api_token"].Version != 2 {
		t.Errorf("after the move: %+v", got.Fields)
	}
	// Another field than those that decide the address keeps the secret.
	got, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{"email": "ana.lima@acme.example"}})
	ok(t, err)
	if got.Fields["site"] != "evil" || got.Fields["email"] != "ana.lima@acme.example" {
		t.Errorf("after a new address for mail: %+v", got.Fields)
	}
}

// Where the operator gave the address nobody else is asked for it; a value that
// was typed at another time stays, because the secret is sealed with it.
func TestAnInstanceDoesNotAskForItsAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	asked := map[string][]string{}
	for _, p := range w.tokens.Providers() {
		for _, f := range p.Methods[0].Fields {
			asked[p.ID] = append(asked[p.ID], f.Name)
		}
	}
	for id, want := range map[string][]string{
		"jira-cloud": {"site", "email", "api_token"}, "jira-cloud-x": {"email", "api_token"},
		"azure-devops": {"organization", "pat"}, "azure-devops-x": {"pat"},
		"businessmap": {"subdomain", "api_key"}, "businessmap-x": {"api_key"},
		"servicenow-x": {"username", "password"},
	} {
		if !equal(asked[id], want) {
			t.Errorf("%s asks for %v, want %v", id, asked[id], want)
		}
	}
	r := request("azure-devops", anaSecret)
	r.Fields["organization"] = "acme"
	_, err := w.tokens.Create(t.Context(), ana, r)
	if inputCode(err, "fields/organization") != lanyard.CodeUnknown {
		t.Errorf("Create = %v, want unknown at fields/organization", err)
	}
}

// Also where the database is edited by hand.
func TestAMovedSecretDoesNotOpen(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*store.ProviderToken, store.ProviderToken){
		"destination":    func(row *store.ProviderToken, _ store.ProviderToken) { row.Fields["site"] = "evil" },
		"another record": func(row *store.ProviderToken, other store.ProviderToken) { row.Secrets = other.Secrets },
		"its version": func(row *store.ProviderToken, _ store.ProviderToken) {
			s := row.Secrets["api_token"]
			s.Version = 9
			row.Secrets["api_token"] = s
		},
		"another provider's instance": func(row *store.ProviderToken, _ store.ProviderToken) {
			row.MethodID = "api_token"
			row.Fields["site"] = "other"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			r := request("jira-cloud", anaSecret)
			token, err := w.tokens.Create(t.Context(), ana, r)
			ok(t, err)
			r.Label = "second"
			second, err := w.tokens.Create(t.Context(), ana, r)
			ok(t, err)
			row := w.row(t, token.ID)
			spoil(&row, w.row(t, second.ID))
			ok(t, w.store.UpdateProviderToken(t.Context(), row, lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "test", row.ID)))
			before := len(w.fakes["jira-cloud"].Requests())
			_, err = w.tokens.Verify(t.Context(), ana, token.ID)
			is(t, "Verify of a spoilt row", err, crypto.ErrIntegrity)
			_, err = w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "jira-cloud-x"}, nil)
			if err == nil {
				t.Error("Client of a spoilt row = nil")
			}
			if len(w.fakes["jira-cloud"].Requests()) != before {
				t.Error("something was sent")
			}
		})
	}
}

func TestAProviderThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	bare, err := providertoken.NewService(w.store, w.sealer, &providertoken.Options{Now: w.clock.Now})
	ok(t, err)
	got, err := bare.Token(t.Context(), ana, token.ID)
	if err != nil || got.Status != providertoken.StatusNotOffered {
		t.Errorf("Token = %s (%v), want not_offered", got.Status, err)
	}
	label := "x"
	_, err = bare.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Label: &label})
	is(t, "Update", err, providertoken.ErrNotOffered)
	_, err = bare.Verify(t.Context(), ana, token.ID)
	is(t, "Verify", err, providertoken.ErrNotOffered)
	_, err = bare.Client(t.Context(), ana, ref, nil)
	is(t, "Client", err, providertoken.ErrNotOffered)
	ok(t, bare.Delete(t.Context(), ana, token.ID, token.Version))
	is(t, "a second Delete", bare.Delete(t.Context(), ana, token.ID, 0), lanyard.ErrNotFound)
}

func TestErasedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.connect(t) // the Sealer now holds ana's key
	e := lanyard.NewEvent(t.Context(), w.clock.Now(), lanyard.Owner{Tenant: ana.Tenant}, "owner.erased", "")
	e.Actor = lanyard.Owner{}
	ok(t, w.store.Erase(t.Context(), ana, e))
	_, err := w.tokens.Create(t.Context(), ana, request("jira-data-center", anaSecret))
	is(t, "Create with an erased key", err, lanyard.ErrConflict)
	w.connect(t)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := request("jira-data-center", anaSecret)
	r.ExpiresAt = w.clock.Now().AddDate(0, 0, 60)
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	for _, c := range []struct {
		days int
		want providertoken.Status
	}{{0, providertoken.StatusConnected}, {30, providertoken.StatusExpiring}, {29, providertoken.StatusExpiring}, {1, providertoken.StatusExpired}} {
		w.clock.Add(time.Duration(c.days) * 24 * time.Hour)
		got, err := w.tokens.Token(t.Context(), ana, token.ID)
		ok(t, err)
		if got.Status != c.want {
			t.Errorf("status at %v = %s, want %s", w.clock.Now(), got.Status, c.want)
		}
	}
}

func TestThePlatformsMaximumBoundsALife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	year := w.clock.Now().Add(8760 * time.Hour)
	for name, c := range map[string]struct{ typed, want time.Time }{
		"nothing typed": {time.Time{}, year},
		"typed":         {w.clock.Now().AddDate(0, 1, 0), w.clock.Now().AddDate(0, 1, 0)},
		"too far":       {w.clock.Now().AddDate(5, 0, 0), year},
	} {
		r := request("jira-cloud", anaSecret)
		r.Label, r.ExpiresAt = name, c.typed
		got, err := w.tokens.Create(t.Context(), ana, r)
		ok(t, err)
		if !got.ExpiresAt.Equal(c.want) {
			t.Errorf("%s: ExpiresAt = %v, want %v", name, got.ExpiresAt, c.want)
		}
	}
}

// The platform counts from when the secret was made, whatever is edited later.
func TestALifeIsCountedFromItsSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token, err := w.tokens.Create(t.Context(), ana, request("jira-cloud", anaSecret))
	ok(t, err)
	made, year := w.clock.Now(), 8760*time.Hour
	far, unknown, sooner := made.AddDate(5, 0, 0), time.Time{}, made.AddDate(0, 6, 0)
	fields := map[string]string{"email": "ana.lima@acme.example"}
	for _, c := range []struct {
		name string
		edit providertoken.UpdateRequest
		want time.Time
	}{
		{"a date too far", providertoken.UpdateRequest{ExpiresAt: &far}, made.Add(year)},
		{"a date", providertoken.UpdateRequest{ExpiresAt: &sooner}, sooner},
		{"no date", providertoken.UpdateRequest{ExpiresAt: &unknown}, made.Add(year)},
		{"a field and a date too far", providertoken.UpdateRequest{Fields: fields, ExpiresAt: &far}, made.Add(year)},
		{"a field", providertoken.UpdateRequest{Fields: map[string]string{"email": "ana@acme.example"}}, made.Add(year)},
		{"the secret", secrets("api_token", newSecret), made.Add(5*24*time.Hour + 24*time.Hour + year)},
	} {
		w.clock.Add(24 * time.Hour)
		got, err := w.tokens.Update(t.Context(), ana, token.ID, c.edit)
		ok(t, err)
		if !got.ExpiresAt.Equal(c.want) {
			t.Errorf("an edit of %s: ExpiresAt = %v, want %v", c.name, got.ExpiresAt, c.want)
		}
	}
}

func TestNewServiceRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	good := acme("X-Key")
	for name, o := range map[string]*providertoken.Options{
		"doubled definition":   {Providers: []providertoken.Definition{good, good}},
		"bad definition":       {Providers: []providertoken.Definition{{ID: "Acme"}}},
		"unknown definition":   {Instances: []providertoken.Instance{{ID: "x", Provider: "nope", Base: "https://acme.example"}}},
		"id of a definition":   {Providers: []providertoken.Definition{good}, Instances: []providertoken.Instance{{ID: "acme", Provider: "acme", Base: "https://acme.example"}}},
		"plain http":           {Providers: []providertoken.Definition{good}, Instances: []providertoken.Instance{{ID: "x", Provider: "acme", Base: "http://acme.example"}}},
		"userinfo in the base": {Providers: []providertoken.Definition{good}, Instances: []providertoken.Instance{{ID: "x", Provider: "acme", Base: "https://a@acme.example"}}},
	} {
		if _, err := providertoken.NewService(w.store, w.sealer, o); err == nil {
			t.Errorf("%s: NewService = nil", name)
		}
	}
	if _, err := providertoken.NewService(nil, w.sealer, nil); err == nil {
		t.Error("NewService without a store = nil")
	}
	if _, err := providertoken.NewService(w.store, nil, nil); err == nil {
		t.Error("NewService without a Sealer = nil")
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var ids []string
	for _, p := range w.tokens.Providers() {
		ids = append(ids, p.ID)
		for _, m := range p.Methods {
			for _, f := range m.Fields {
				if f.Type == "" || f.Label == "" || (f.Type == providertoken.TypeSecret) == f.Public {
					t.Errorf("%s/%s/%s has type %q and public %v", p.ID, m.ID, f.Name, f.Type, f.Public)
				}
			}
		}
	}
	want := []string{
		"azure-devops", "azure-devops-x", "bitbucket-cloud", "bitbucket-cloud-x", "businessmap", "businessmap-x",
		"confluence-cloud", "confluence-cloud-x", "figma", "figma-x", "github", "github-x", "github-enterprise-x", "gitlab", "gitlab-x",
		"jira-cloud", "jira-cloud-x", "jira-data-center-x", "notion", "notion-x", "servicenow", "servicenow-x", "slack", "slack-x",
	}
	if !equal(ids, want) {
		t.Errorf("Providers = %v, want %v", ids, want)
	}
	w.clock.Add(365 * 24 * time.Hour)
	for _, p := range w.tokens.Providers() {
		if len(p.Notices) != 0 {
			t.Errorf("%s still shows a notice of last year", p.ID)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ok(t, w.tokens.Check(t.Context()))
	ok(t, w.store.Close())
	is(t, "Check of a closed store", w.tokens.Check(t.Context()), lanyard.ErrClosed)
}

// Nor does a row that was edited by hand lead a secret that is typed again, or
// the link to revoke it, out of the platform's domain.
func TestARowThatNamesAnotherHost(t *testing.T) {
	t.Parallel()
	for _, site := range []string{"evil.example/", "evil.example/x", "evil.example:443/", "evil.example/..", "127.0.0.1/"} {
		w := newWorld(t, nil)
		now, sealed := w.clock.Now(), w.row(t, w.connect(t).ID)
		row := store.ProviderToken{
			ID: lanyard.NewID(), Owner: ana, OwnerKeyID: sealed.OwnerKeyID, Secrets: sealed.Secrets, ProviderID: "azure-devops", MethodID: "pat", CreatedAt: now, UpdatedAt: now,
			Fields: map[string]string{"organization": site}, Origin: "https://dev.azure.com",
		}
		jira := row
		jira.ID, jira.ProviderID, jira.MethodID = lanyard.NewID(), "jira-cloud", "api_token"
		jira.Fields = map[string]string{"site": site, "email": "ana@acme.example"}
		for _, r := range []store.ProviderToken{row, jira} {
			ok(t, w.store.CreateProviderToken(t.Context(), r, 10, lanyard.NewEvent(t.Context(), now, ana, "test", r.ID)))
			got, err := w.tokens.Token(t.Context(), ana, r.ID)
			ok(t, err)
			if got.Status != providertoken.StatusNotOffered || got.Base != "" || got.RevokeURL != "" {
				t.Errorf("a row at %q is %s at %q, revoked at %q, want it nowhere", site, got.Status, got.Base, got.RevokeURL)
			}
			name := "api_token"
			if r.ProviderID == "azure-devops" {
				name = "pat"
			}
			_, err = w.tokens.Update(t.Context(), ana, r.ID, providertoken.UpdateRequest{
				Secrets: map[string]lanyard.Secret{name: lanyard.NewSecret("typed-again-0123456789")},
			})
			is(t, "a secret typed again for "+site, err, providertoken.ErrNotOffered)
		}
	}
}
