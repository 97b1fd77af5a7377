package providertoken_test

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// Every fault of a definition written in Go names the definition and the place.
func TestValidateNamesTheDefinition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for path, spoil := range map[string]func(*providertoken.Definition){
		"/id":                     func(d *providertoken.Definition) { d.ID = "Acme!" },
		"/name":                   func(d *providertoken.Definition) { d.Name = " " },
		"/docs_url":               func(d *providertoken.Definition) { d.DocsURL = "javascript:alert(1)" },
		"/instance/mode":          func(d *providertoken.Definition) { d.Instance.Mode = "" },
		"/instance/base":          func(d *providertoken.Definition) { d.Instance.Base = "http://api.acme.example" },
		"/instance/origins/0":     func(d *providertoken.Definition) { d.Instance.Origins = []string{"https://{key}.acme.example"} },
		"/instance/accept/0":      func(d *providertoken.Definition) { d.Instance.Accept = []string{"*.example"} },
		"/methods":                func(d *providertoken.Definition) { d.Methods = nil },
		"/methods/0/id":           func(d *providertoken.Definition) { d.Methods[0].ID = "Key" },
		"/methods/0/label":        func(d *providertoken.Definition) { d.Methods[0].Label = "" },
		"/methods/0/lifetime/max": func(d *providertoken.Definition) { d.Methods[0].Lifetime.Max = -1 },
		"/methods/0/fields":       func(d *providertoken.Definition) { d.Methods[0].Fields = nil },
		"/methods/0/fields/0": func(d *providertoken.Definition) {
			d.Methods[0].Fields[0].Type = "secret"
			d.Methods[0].Fields[0].Public = true
		},
		"/methods/0/fields/0/name":    func(d *providertoken.Definition) { d.Methods[0].Fields[0].Name = "The Key" },
		"/methods/0/fields/0/type":    func(d *providertoken.Definition) { d.Methods[0].Fields[0].Type = "password" },
		"/methods/0/headers/X-Key":    func(d *providertoken.Definition) { d.Methods[0].Headers["X-Key"] = "{other}" },
		"/methods/0/headers/Cookie 1": func(d *providertoken.Definition) { d.Methods[0].Headers["Cookie 1"] = "x" },
		"/verify":                     func(d *providertoken.Definition) { d.Verify = nil },
		"/verify/0/path":              func(d *providertoken.Definition) { d.Verify[0].Path = "/a/../../b" },
		"/verify/0/identity/id":       func(d *providertoken.Definition) { d.Verify[0].Identity.ID = "" },
		"/verify/0/headers/x-key":     func(d *providertoken.Definition) { d.Verify[0].Headers = map[string]string{"x-key": "of the host"} },
		"/verify/0/rules/0/verdict": func(d *providertoken.Definition) {
			d.Verify[0].Rules = []providertoken.Rule{{Verdict: providertoken.VerdictOK}}
		},
		"/verify/0/method":         func(d *providertoken.Definition) { d.Verify[0].Method = "DELETE" },
		"/verify/0/identity/name":  func(d *providertoken.Definition) { d.Verify[0].Identity.Name = `!"ana"` },
		"/verify/0/identity/email": func(d *providertoken.Definition) { d.Verify[0].Identity.Email = "@this.email" },
		"/verify/0/expiry/path": func(d *providertoken.Definition) {
			d.Verify[0].Expiry = providertoken.Expiry{Path: "https://evil.example", JSON: "end", Layouts: []string{"2006-01-02"}}
		},
		"/verify/0/rules/0/when/json/0/path": func(d *providertoken.Definition) {
			d.Verify[0].Rules = []providertoken.Rule{{Verdict: "invalid", When: providertoken.Condition{JSON: []providertoken.JSONCondition{{Path: `{"a":!1}`, Exists: true}}}}}
		},
		"/instance/alternatives/0/id":   alternative(func(a *providertoken.Alternative) { a.ID = "The Gateway" }),
		"/instance/alternatives/0/base": alternative(func(a *providertoken.Alternative) { a.Base = "https://{tenant}.acme.example" }),
		"/instance/alternatives/0/discover/0/name": alternative(func(a *providertoken.Alternative) {
			a.Discover[0].Name = "key"
		}),
		"/instance/alternatives/0/discover/0/path": alternative(func(a *providertoken.Alternative) {
			a.Discover[0].Path = "//evil.example"
		}),
		"/instance/alternatives/0/discover/0/json": alternative(func(a *providertoken.Alternative) {
			a.Discover[0].JSON = `!"evil"`
		}),
		"/methods/0/revoke/method": func(d *providertoken.Definition) {
			d.Methods[0].Revoke = providertoken.Revocation{Method: "GET", Path: "/revoke", Accept: providertoken.Condition{Status: []int{204}}}
		},
		"/methods/0/revoke/path": func(d *providertoken.Definition) {
			d.Methods[0].Revoke = providertoken.Revocation{Method: "POST", Path: "revoke", Accept: providertoken.Condition{Status: []int{204}}}
		},
		"/methods/0/revoke/accept": func(d *providertoken.Definition) {
			d.Methods[0].Revoke = providertoken.Revocation{Method: "POST", Path: "/revoke"}
		},
		"/methods/0/revoke_url": func(d *providertoken.Definition) { d.Methods[0].RevokeURL = "https://acme.example/{key}" },
		"/methods/0/fields/0/shapes/0/pattern": func(d *providertoken.Definition) {
			d.Methods[0].Fields[0].Shapes = []providertoken.Shape{{Pattern: "acme_"}}
		},
		"/verify/0/expiry": func(d *providertoken.Definition) { d.Verify[0].Expiry.Header = "X-Expires" },
		"/instance": func(d *providertoken.Definition) {
			d.Instance = providertoken.InstanceSpec{Mode: providertoken.ModeOperator, Alternatives: []providertoken.Alternative{{ID: "gateway"}}}
		},
		"/limits":                  func(d *providertoken.Definition) { d.Limits.PerHour = -1 },
		"/limits/retry_after":      func(d *providertoken.Definition) { d.Limits.RetryAfter = `!"3"` },
		"/credential_parameters/0": func(d *providertoken.Definition) { d.CredentialParameters = []string{"Token"} },
		"/credential_parameters/1": func(d *providertoken.Definition) { d.CredentialParameters = []string{"token", "a=b"} },
		"/notices/0/severity":      func(d *providertoken.Definition) { d.Notices = []providertoken.Notice{{Text: "x", Severity: "loud"}} },
	} {
		d := acme("X-Key")
		d.Instance = providertoken.InstanceSpec{Mode: providertoken.ModeFixed, Base: "https://api.acme.example"}
		ok(t, d.Validate())
		spoil(&d)
		err := d.Validate()
		named := false
		for _, e := range joined(err) {
			var at *providertoken.DefinitionError
			if errors.As(e, &at) && at.Definition == d.ID && at.Path == path {
				named = true
			}
		}
		if !named {
			t.Errorf("Validate = %v, want an error of %q at %s", err, d.ID, path)
		}
		_, err = providertoken.NewService(w.store, w.sealer, &providertoken.Options{Providers: []providertoken.Definition{d}})
		if err == nil || !strings.Contains(err.Error(), d.ID) || !strings.Contains(err.Error(), path) {
			t.Errorf("NewService = %v, want an error that names %q and %s", err, d.ID, path)
		}
	}
}

// alternative spoils an alternative that is good otherwise.
func alternative(spoil func(*providertoken.Alternative)) func(*providertoken.Definition) {
	return func(d *providertoken.Definition) {
		a := providertoken.Alternative{
			ID: "gateway", Base: "https://gateway.acme.example/{tenant}",
			Discover: []providertoken.Discovery{{Name: "tenant", Path: "/tenant", JSON: "id"}},
		}
		spoil(&a)
		d.Instance.Alternatives = []providertoken.Alternative{a}
	}
}

func joined(err error) []error {
	if many, is := err.(interface{ Unwrap() []error }); is {
		return many.Unwrap()
	}
	return []error{err}
}

func TestInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, spoil := range map[string]func(*providertoken.Instance){
		"id":             func(i *providertoken.Instance) { i.ID = "The Jira" },
		"id of another":  func(i *providertoken.Instance) { i.ID = "github" },
		"no base":        func(i *providertoken.Instance) { i.Base = "" },
		"http":           func(i *providertoken.Instance) { i.Base = "http://jira.acme.example" },
		"userinfo":       func(i *providertoken.Instance) { i.Base = "https://user@jira.acme.example" },
		"query":          func(i *providertoken.Instance) { i.Base = "https://jira.acme.example/?x" },
		"no definition":  func(i *providertoken.Instance) { i.Provider = "jira" },
		"proxy's scheme": func(i *providertoken.Instance) { i.Proxy = &url.URL{Scheme: "ftp", Host: "proxy.acme.example"} },
		"proxy's host":   func(i *providertoken.Instance) { i.Proxy = &url.URL{Scheme: "http"} },
		"network":        func(i *providertoken.Instance) { i.Networks = []netip.Prefix{{}} },
		"an alternative that is not there": func(i *providertoken.Instance) {
			i.Alternatives = map[string]string{"gateway": "https://api.acme.example"}
		},
		"mapped network": func(i *providertoken.Instance) {
			i.Networks = []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}
		},
	} {
		i := providertoken.Instance{ID: "jira", Provider: "jira-data-center", Base: "https://jira.acme.example:8443/jira"}
		o := &providertoken.Options{Providers: catalog.All(), Instances: []providertoken.Instance{i}}
		_, err := providertoken.NewService(w.store, w.sealer, o)
		ok(t, err)
		spoil(&o.Instances[0])
		if _, err := providertoken.NewService(w.store, w.sealer, o); err == nil || !strings.Contains(err.Error(), o.Instances[0].ID) {
			t.Errorf("%s: NewService = %v, want an error that names the instance", name, err)
		}
	}
	two := []providertoken.Instance{
		{ID: "jira", Provider: "jira-data-center", Base: "https://jira.acme.example"},
		{ID: "jira", Provider: "jira-data-center", Base: "https://jira2.acme.example"},
	}
	if _, err := providertoken.NewService(w.store, w.sealer, &providertoken.Options{Providers: catalog.All(), Instances: two}); err == nil {
		t.Error("two instances of one id: NewService = nil")
	}
}

// A user may paste the address he sees.
func TestAPastedAddress(t *testing.T) {
	t.Parallel()
	w := public(t, providertest.JiraCloud(accounts.Account))
	r := siteRequest(" https://Acme.atlassian.net/jira/your-work ", anaSecret)
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	if token.Fields["site"] != "acme" {
		t.Errorf("the site is %q, want acme", token.Fields["site"])
	}
	for _, site := range []string{"https://acme.atlassian.net?tab=1", "acme.atlassian.net:443/x#top", "HTTPS://ACME.ATLASSIAN.NET"} {
		r.Label, r.Fields["site"] = site, site
		token, err := w.tokens.Create(t.Context(), ana, r)
		ok(t, err)
		if token.Fields["site"] != "acme" {
			t.Errorf("%s is the site %q, want acme", site, token.Fields["site"])
		}
	}
	r.Label = "second"
	for _, site := range []string{"https://acme.atlassian.net.evil.example/", "https://evil.example/acme.atlassian.net", "acme@evil.example",
		"https://evil.example?.atlassian.net", "https://acme.atlassian.net:8443/", "https://a.b.atlassian.net", "https://acme.atlassian.net@evil.example/"} {
		r.Fields["site"] = site
		if _, err := w.tokens.Create(t.Context(), ana, r); inputCode(err, "fields/site") != lanyard.CodeInvalid {
			t.Errorf("Create at %q = %v, want it refused", site, err)
		}
	}
}
