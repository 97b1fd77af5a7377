package httpadapter_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// platform serves a fake of a platform and offers it under an id and a name.
func platform(t *testing.T, fake *providertest.Fake, id, definition, name string) func(*providertoken.Options) {
	instance := pageInstance(t, fake, id, definition, name)
	return func(o *providertoken.Options) { o.Instances = append(o.Instances, instance) }
}

// anas are the accounts of a fake: hers is behind pageSecret.
func anas() func(string) (providertest.Account, bool) {
	return providertest.Tokens{pageSecret: {ID: "ana", Name: "Ana Lima"}}.Account
}

// memo is a platform that cannot say whose a key is.
func memo(o *providertoken.Options) {
	o.Providers = append(o.Providers, providertoken.Definition{
		ID: "memo", Name: "Memo", Unverifiable: true,
		Instance: providertoken.InstanceSpec{Mode: providertoken.ModeFixed, Base: "https://memo.example"},
		Methods: []providertoken.Method{{
			ID: "key", Label: "Key", Fields: []providertoken.Field{{Name: "key", Label: "Key"}}, Headers: map[string]string{"X-Key": "{key}"},
		}},
	})
}

// card is the text of a provider's card.
func (v *visitor) card(id string) string {
	v.t.Helper()
	heading := v.byID("provider-" + id)
	if heading == nil {
		v.t.Fatalf("%s has no card of %s", v.url, id)
	}
	return textOf(cardOf(heading))
}

func cardOf(heading *html.Node) *html.Node {
	for n := heading; n != nil; n = n.Parent {
		if n.Data == "section" {
			return n
		}
	}
	return heading
}

// shows checks what a card says and what it does not.
func (v *visitor) shows(id string, texts ...string) {
	v.t.Helper()
	all := v.card(id)
	for _, text := range texts {
		if not, ok := strings.CutPrefix(text, "!"); ok {
			if strings.Contains(all, not) {
				v.t.Errorf("the card of %s says %q; it says %q", id, not, all)
			}
		} else if !strings.Contains(all, text) {
			v.t.Errorf("the card of %s does not say %q; it says %q", id, text, all)
		}
	}
}

// Each state has its words, what to do about it, and the actions that are left.
func TestPageCards(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{tokens: func(o *providertoken.Options) { o.Limit = 10; memo(o) }})
	v := w.visit(t, "ana")
	v.open("provider-tokens")
	v.shows("jira", "not connected", "Add Token for Jira", "How to get a token", "!Test", "!Edit", "!Delete")

	v.connect()
	v.shows("jira", "connected", "Connected as Ana Lima (ana@acme.example) on 127.0.0.1:", "never used", "Checked", "Add another for Jira",
		"Test the token for Jira", "Edit the token for Jira", "Delete the token for Jira", "!not connected", "!needs attention")
	if first := v.all("section")[0]; attr(first, "aria-labelledby") != "provider-jira" {
		t.Errorf("the first card is %q, want the one with a connection", textOf(first))
	}

	// A second account is told apart by its label.
	v.click("Add another for Jira")
	v.submit("Save", "secrets/token", pageNewSecret, "label", "automation", "expires_on", "2026-12-05")
	v.shows("jira", "automation", "Connected as Ana Zwei", "expires in 12 days", "Make a new token there in time", "Edit the token for Jira “automation”")

	w.jira.Tell(providertest.NoRight)
	v.submit("Test the token for Jira “automation”")
	v.open("provider-tokens")
	v.shows("jira", "needs attention", "Jira knows this token, but the token may not read your account. Give it more rights there",
		"Ana Zwei on 127.0.0.1", "!Connected as Ana Zwei", "Connected as Ana Lima")
	w.jira.Tell(providertest.Truth)

	w.pass(13 * 24 * time.Hour)
	v.open("provider-tokens")
	v.shows("jira", "expired", "Make a new token there, then press Edit.")
	v.submit("Test the token for Jira “automation”")
	v.shows("jira", "expired", "Jira was asked: the connection works.", "The day entered for it is over, but Jira still accepted it")

	v.open("provider-tokens/new?provider=memo")
	v.says("Memo cannot say whose a token is, so nobody can test yours.")
	if strings.Contains(textOf(v.root), "is asked whether this works") {
		t.Error("the form of a platform that tells nothing promises a check")
	}
	v.submit("Save", "secrets/key", pageSecret)
	v.is(http.StatusOK, "Provider Tokens")
	v.says("Saved. Memo cannot say whose a token is, so nobody checked it.")
	v.shows("memo", "cannot be checked", "there is no test", "For memo.example", "!Test the token", "Edit the token for Memo", "Delete the token for Memo", "!not checked yet")
}

// Where no more can be added the page says so, and does not ask.
func TestPageCardsAtTheLimit(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{tokens: func(o *providertoken.Options) { o.Limit = 1 }})
	v := w.visit(t, "ana")
	v.open("provider-tokens")
	v.shows("cloud", "Add Token")
	v.connect()
	v.says("You have 1 connection, which is as many as are allowed.")
	v.shows("cloud", "!Add Token")
	v.shows("jira", "!Add another", "Edit the token for Jira")
}

// Every verdict has its sentence: at the field it is about when it is typed, and
// beside the connection when it is tested.
func TestPageVerdicts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		platform string
		lie      providertest.Lie
		field    string // "" = the form as a whole
		says     string
		advice   string // on the form
		card     string // "" = the connection stays as it was
	}{
		{"jira-data-center", providertest.LoginFailed, "secrets/token", "It did not accept this token.", "", "Press Edit to enter a new one."},
		{"jira-data-center", providertest.Captcha, "secrets/token", "It asks for a CAPTCHA before it accepts a token of this account again. Sign in there with your browser and solve it.", "", "Then press Test."},
		{"jira-data-center", providertest.Anonymous, "secrets/token", "It answered as if nobody had signed in: it did not accept this token. It may have expired or been revoked.", "", "Press Edit to enter a new one."},
		{"jira-data-center", providertest.NoRight, "secrets/token", "It knows this token, but the token may not read your account.", "Give it more rights there, or make another.", "Give it more rights there and press Test, or press Edit to enter another."},
		{"jira-data-center", providertest.Missing, "", "What answers at this address is not It, or not the one this token is for.", "Your organization set this address: please tell whoever looks after it.", "Your organization set this address: please tell whoever looks after it."},
		{"jira-data-center", providertest.Redirect, "", "What answers at this address sends us elsewhere, as a sign-in page does, and is not the API of It.", "Your organization set this address", "Your organization set this address"},
		{"jira-data-center", providertest.HTMLPage, "", "What answers at this address is a web page, as a sign-in page is, and not the API of It.", "Your organization set this address", "Your organization set this address"},
		{"jira-data-center", providertest.Busy, "", "It is receiving too many requests and did not say whether the token works. Wait a few minutes, then try again.", "", ""},
		{"jira-data-center", providertest.Broken, "", "It could not be reached, so the token could not be checked.", "Try again, or save without checking.", ""},
		{"jira-cloud", providertest.Missing, "fields/site", "What answers at this address is not It, or not the one this token is for.", "Check the address.", "Press Edit to correct the address."},
		{"jira-cloud", providertest.Broken, "fields/site", "It could not be reached, so the token could not be checked.", "Try again, or save without checking.", ""},
		{"azure-devops", providertest.SignInPage, "secrets/pat", "It answered with its sign-in page: it did not accept this token.", "", "Press Edit to enter a new one."},
		{"github", providertest.Redirect, "", "Something on the way to It answered in its place, so the token could not be checked.", "Try again, or save without checking.", ""},
		{"github", providertest.HTMLPage, "", "Something on the way to It answered in its place, with a web page, so the token could not be checked.", "Try again, or save without checking.", ""},
		{"slack", providertest.Expired, "secrets/token", "It says this token has expired.", "Make a new one there.", "Make a new token there, then press Edit."},
		{"slack", providertest.Revoked, "secrets/token", "It says that this token was revoked.", "Make a new one there.", "Press Edit to enter a new one."},
		{"slack", providertest.LoginFailed, "secrets/token", "It says that the account of this token is deactivated.", "", "Press Edit to enter a new one."},
		{"servicenow", providertest.HTMLPage, "", "It answered with a web page: it is asleep, or it sends everybody to single sign-on. So the token could not be checked. Open it in your browser first.", "Try again, or save without checking.", ""},
		{"servicenow", providertest.DroppedFilter, "", "It answered, but did not say whose this token is, so it is not proven.", "Try again, or save without checking.", ""},
	} {
		t.Run(tt.platform+" "+string(tt.lie), func(t *testing.T) {
			t.Parallel()
			fake, typed := fakeOf(tt.platform)
			w := newPageWorld(t, pageOptions{tokens: platform(t, fake, "it", tt.platform, "It")})
			v := w.visit(t, "ana")
			address := "provider-tokens/new?provider=it"
			if tt.platform == "servicenow" {
				address += "&method=api_key"
			}
			fake.Tell(tt.lie)
			v.open(address)
			v.submit("Save", typed...)
			v.is(http.StatusUnprocessableEntity, "Connect It")
			v.says(tt.says + strings.TrimRight(" "+tt.advice, " "))
			if tt.field != "" {
				checkSummary(t, v.document, strings.ReplaceAll(tt.field, "/", "-"))
			} else {
				checkSummary(t, v.document)
			}

			fake.Tell(providertest.Truth)
			v.submit("Save", typed...)
			v.is(http.StatusOK, "Provider Tokens")
			fake.Tell(tt.lie)
			v.submit("Test the token for It")
			outcome := v.focused()
			if want := strings.TrimRight(tt.says+" "+tt.card, " "); outcome == nil || !strings.HasPrefix(textOf(outcome), want) {
				t.Errorf("after the test the focus is on %q, want %q", textOfAny(outcome), want)
			}
			v.open("provider-tokens")
			if tt.card == "" {
				v.shows("it", "connected", "!"+tt.says)
			} else {
				v.shows("it", tt.card, "!Connected as")
			}
			fake.Tell(providertest.Truth)
			v.submit("Test the token for It")
			v.shows("it", "It was asked: the connection works.", "connected", "Connected as")
		})
	}
}

// fakeOf is a fake of a platform, and what ana types to connect it.
func fakeOf(definition string) (*providertest.Fake, []string) {
	switch definition {
	case "jira-cloud":
		return providertest.JiraCloud(anas()), []string{"fields/site", "acme", "fields/email", "ana@acme.example", "secrets/api_token", pageSecret}
	case "azure-devops":
		return providertest.AzureDevOps(anas()), []string{"secrets/pat", pageSecret}
	case "github":
		return providertest.GitHub(anas()), []string{"secrets/token", pageSecret}
	case "slack":
		return providertest.Slack(anas()), []string{"secrets/token", pageSecret}
	case "servicenow":
		return providertest.ServiceNow(anas()), []string{"secrets/api_key", pageSecret}
	}
	return providertest.JiraDataCenter(anas()), []string{"secrets/token", pageSecret}
}

// focused is what has the focus when the page has loaded.
func (d *document) focused() *html.Node {
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && hasAttr(n, "autofocus") {
			return n
		}
	}
	return nil
}

func textOfAny(n *html.Node) string {
	if n == nil {
		return "nothing"
	}
	return textOf(n)
}

// The address after a test says where to look and not what to believe.
func TestPageTestOutcomeCannotBeForged(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	_, _, id := pagePosts(t, w)
	v := w.visit(t, "ana")
	w.jira.Tell(providertest.NoRight)
	v.open("provider-tokens")
	v.submit("Test the token for Jira")
	for _, query := range []url.Values{
		{"tested": {id}, "outcome": {"ok"}},
		{"tested": {id}, "outcome": {"made_up"}},
	} {
		v.open("provider-tokens?" + query.Encode())
		v.shows("jira", "may not read your account", "!works")
	}
	v.open("provider-tokens?" + url.Values{"tested": {id}, "outcome": {"unreachable"}, "reason": {"call_0800_evil"}}.Encode())
	v.shows("jira", "Jira could not be reached", "!evil", "needs attention")
	v.open("provider-tokens?" + url.Values{"tested": {strings.Repeat("a", len(id))}, "outcome": {"unreachable"}}.Encode())
	v.shows("jira", "!could not be reached")
	if v.focused() != nil {
		t.Error("a test of nothing takes the focus")
	}
}

// A connection that is edited while it is tested, and one that is not offered
// any more, are no errors.
func TestPageTestLosesARace(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	_, _, id := pagePosts(t, w)
	owner, once := lanyard.Owner{Subject: "ana"}, true
	racing, err := providertest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if once {
			once = false
			label := "meanwhile"
			if _, err := w.tokens.Update(context.WithoutCancel(r.Context()), owner, id, providertoken.UpdateRequest{Label: &label}); err != nil {
				t.Error(err)
			}
		}
		w.jira.ServeHTTP(rw, r)
	}))
	pageOK(t, err)
	t.Cleanup(func() { _ = racing.Close(context.Background()) })
	racer := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.ProviderTokens, err = providertoken.NewService(w.store, w.sealer, &providertoken.Options{
			Providers: catalog.All(), Now: func() time.Time { return *w.now.Load() },
			Instances: []providertoken.Instance{{
				ID: "jira", Provider: "jira-data-center", Name: "Jira", Base: racing.URL(), RootCAs: racing.RootCAs(), Networks: racing.Networks(),
			}},
		})
		pageOK(t, err)
	}})
	v := racer.visit(t, "ana")
	v.open("provider-tokens")
	v.submit("Test the token for Jira")
	v.is(http.StatusOK, "Provider Tokens")
	v.shows("jira", "The connection was changed while it was tested. This is how it is now; press Test again.", "meanwhile")

	gone := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.ProviderTokens = withoutProviders(t, w) }})
	v = gone.visit(t, "ana")
	v.follow(v.request(http.MethodPost, gone.mount("provider-tokens/"+id+"/test"), url.Values{}))
	v.is(http.StatusOK, "Provider Tokens")
	v.shows("jira", "no longer offered", "Delete the token for jira", "!Test the token", "!Edit the token", "!Add")
}

// Another platform's token is sent nowhere; the form says what it looks like and
// leads to the forms that take it.
func TestPageOfAnotherPlatformsToken(t *testing.T) {
	t.Parallel()
	const github, slack = "ghp_canarypage0000000000000000000000000000", "xoxb-canarypage-0000000000"
	w := newPageWorld(t, pageOptions{tokens: func(o *providertoken.Options) {
		o.Providers = slices.DeleteFunc(o.Providers, func(d providertoken.Definition) bool { return d.ID == "slack" })
		o.Providers = append(o.Providers, providertoken.Definition{ // known, and offered to nobody
			ID: "slack-y", Name: "Slack Y", Instance: providertoken.InstanceSpec{Mode: providertoken.ModeOperator}, Unverifiable: true,
			Methods: []providertoken.Method{{ID: "token", Label: "Token", Headers: map[string]string{"X": "{token}"}, Fields: []providertoken.Field{
				{Name: "token", Label: "Token", Shapes: []providertoken.Shape{{Pattern: "^xoxb-[a-z0-9-]+$", Token: "Slack token"}}},
			}}},
		})
	}})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=jira")
	v.submit("Save", "secrets/token", github)
	v.is(http.StatusUnprocessableEntity, "Connect Jira")
	v.says("Personal access token: this looks like a GitHub token, not like one of Jira. It was sent nowhere.")
	checkSummary(t, v.document, "secrets-token")
	if n := len(w.jira.Requests()); n != 0 || strings.Contains(v.body, "ghp_") {
		t.Errorf("the token was sent %d times, or stands on the page", n)
	}
	v.click("Connect GitHub instead")
	v.is(http.StatusOK, "Connect GitHub")

	// Where it would be shown it is taken by nobody, and not shown again.
	v.open("provider-tokens/new?provider=jira")
	v.submit("Save", "label", github, "secrets/token", "x")
	v.is(http.StatusUnprocessableEntity, "Connect Jira")
	v.says("this looks like a token, and what stands here is shown")
	if n := len(w.jira.Requests()); n != 0 || strings.Contains(v.body, "ghp_") {
		t.Errorf("the token was sent %d times, or stands on the page", n)
	}

	v.open("provider-tokens/new?provider=jira")
	v.submit("Save", "secrets/token", slack)
	v.says("looks like a Slack token", "Your organization offers no connection for it.")
	if strings.Contains(textOf(v.root), "instead") {
		t.Error("the form leads to a platform that is not offered")
	}

	// The article is English's.
	v.submit("Save", "secrets/token", "ATATTcanarypage=ABCDEF12")
	v.says("looks like an Atlassian API token")

	// When an edit is refused the stored token stays.
	v.connect()
	v.click("Edit the token for Jira")
	v.submit("Save", "secrets/token", github)
	v.is(http.StatusUnprocessableEntity, "Edit your token for Jira")
	v.says("looks like a GitHub token", "Connect GitHub instead", "enter it again, or leave blank to keep the one saved on")
	v.submit("Save", "label", "work")
	v.is(http.StatusOK, "Provider Tokens")
}

// A password can look like anything, so it is tried; when it is refused, what it
// looks like is said.
func TestPageOfAPasswordThatLooksLikeAToken(t *testing.T) {
	t.Parallel()
	fake, _ := fakeOf("servicenow")
	w := newPageWorld(t, pageOptions{tokens: platform(t, fake, "it", "servicenow", "It")})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=it&method=basic")
	v.submit("Save", "fields/username", "ana", "secrets/password", "ghp_canarypage0000000000000000000000000000")
	v.says("It did not accept this token. It looks like a GitHub token.", "Connect GitHub instead")
	if strings.Contains(textOf(v.root), "sent nowhere") {
		t.Error("the page says that a password that was tried was sent nowhere")
	}
	if len(fake.Requests()) == 0 {
		t.Error("the password was not tried")
	}
}

// What was wrong with a value is said by what its field asks for.
func TestPageFieldErrors(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=jira-cloud")
	v.submit("Save", "fields/site", "acme.example.com", "fields/email", "nobody", "secrets/api_token", "tab\tbed", "expires_on", "2026-11-22")
	v.says("Site: enter only what stands before .atlassian.net, or paste an address from there.",
		"Email address: this is not an email address.",
		"API token: this holds a character that no such secret has, as a space or a line break. Copy it once more.",
		"Expires on: this day is over. Choose today or a later one.")
	checkSummary(t, v.document, "fields-site", "fields-email", "secrets-api_token", "expires_on")
	v.submit("Save", "secrets/api_token", "●●●●●●")
	v.says("API token: this is the mask, not the secret. Paste the secret itself.")
	if strings.Contains(textOf(v.root), "leave") {
		t.Error("the form for a new connection speaks of a secret to keep")
	}
	v.open("provider-tokens/new?provider=businessmap")
	v.submit("Save", "fields/subdomain", "https://evil.example/x", "secrets/api_key", "x", "label", strings.Repeat("x", 101))
	v.says("Subdomain: enter only its name, as acme, or paste an address from there.", "Label: this is too long.")
	if got := attr(v.byID("fields-subdomain"), "value"); got != "https://evil.example/x" {
		t.Errorf("the typed subdomain = %q, want it kept", got)
	}
	v.connect()
	v.click("Edit the token for Jira")
	v.submit("Save", "secrets/token", "********")
	v.says("Paste the secret itself, or leave the field blank to keep the one we have.")
}

// A pasted address is shown as what it means when the form comes again.
func TestPageShrinksPastedAddress(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=jira-cloud")
	for typed, want := range map[string]string{
		"https://Acme.atlassian.net/jira/your-work?x=1": "acme",
		"acme.atlassian.net":                            "acme",
		" acme.atlassian.net/ ":                         "acme",
		"acme":                                          "acme",
		"Acme":                                          "Acme",
		"https://a.b.atlassian.net/":                    "https://a.b.atlassian.net/",
		"https://user@x.atlassian.net/":                 "https://user@x.atlassian.net/",
		"https://evil.example/.atlassian.net":           "https://evil.example/.atlassian.net",
		".atlassian.net":                                ".atlassian.net",
	} {
		v.submit("Save", "fields/site", typed, "fields/email", "nobody")
		if got := attr(v.byID("fields-site"), "value"); got != want {
			t.Errorf("%q comes back as %q, want %q", typed, got, want)
		}
	}
}

// The two-step theft: another address with the saved secret is refused at the
// secret, in clear words, and the saved secret goes nowhere.
func TestPageTheft(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=cloud")
	v.submit("Save", "fields/site", "acme", "fields/email", "ana@acme.example", "secrets/api_token", pageSecret)
	v.click("Edit the token for Cloud")
	v.says("If you change this, enter every secret again.")
	if hasAttr(v.byID("secrets-api_token"), "required") {
		t.Error("the form asks for a secret that it would keep")
	}
	asked := len(w.cloud.Requests())
	v.submit("Save", "fields/site", "evil")
	v.is(http.StatusUnprocessableEntity, "Edit your token for Cloud")
	v.says("API token: the address changed, so please enter every secret again. A saved secret is never sent to a new address.")
	checkSummary(t, v.document, "secrets-api_token")
	if !hasAttr(v.byID("secrets-api_token"), "required") || strings.Contains(textOf(v.root), "eave blank to keep") {
		t.Error("the form still offers to keep the secret")
	}
	v.submit("Save")
	v.is(http.StatusUnprocessableEntity, "Edit your token for Cloud")
	v.open("provider-tokens")
	v.submit("Test the token for Cloud")
	for _, r := range w.cloud.Requests()[asked:] {
		if r.Header.Get("X-Site") != "acme" {
			t.Errorf("the saved secret went to %q", r.Header.Get("X-Site"))
		}
	}
	v.click("Edit the token for Cloud")
	v.submit("Save", "fields/site", "other", "secrets/api_token", pageNewSecret)
	v.is(http.StatusOK, "Provider Tokens")
	v.says("Saved. Cloud confirmed your account.", "Connected as Ana Zwei")
}

// Who loses a race sees what is saved now beside what he typed, and can take
// either.
func TestPageTokenConflict(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	first, second := w.visit(t, "ana"), w.visit(t, "ana")
	first.open("provider-tokens/new?provider=cloud")
	first.submit("Save", "fields/site", "acme", "fields/email", "ana@acme.example", "secrets/api_token", pageSecret, "expires_on", "2027-01-31")
	second.open("provider-tokens")
	second.click("Edit the token for Cloud")
	first.click("Edit the token for Cloud")
	first.submit("Save", "label", "theirs")
	asked := len(w.cloud.Requests())
	second.submit("Save", "label", "mine", "secrets/api_token", pageNewSecret)
	second.is(http.StatusPreconditionFailed, "Edit your token for Cloud “theirs”")
	second.says("so nothing was saved", "What is saved now", "Siteacme", "Email addressana@acme.example", "Expires on31 Jan 2027", "Labeltheirs", "Changed23 Nov 2026, 12:00 UTC",
		"What you entered here is never sent back to the page: enter it again, or leave blank to keep the one saved on 23 Nov 2026.")
	if got := attr(second.byID("label"), "value"); got != "mine" {
		t.Errorf("the typed label = %q, want it kept", got)
	}
	if n := len(w.cloud.Requests()) - asked; n != 0 {
		t.Errorf("an edit that lost asked the platform %d times", n)
	}
	third := w.visit(t, "ana")
	third.do(second.request(http.MethodGet, second.url, nil))
	if strings.Contains(textOf(third.root), "What is saved now") {
		t.Error("a form that lost nothing speaks of what is saved")
	}
	again := *second.document
	second.click("Drop what I typed and edit this")
	if got := attr(second.byID("label"), "value"); got != "theirs" {
		t.Errorf("the label after dropping = %q, want theirs", got)
	}
	second.document = &again
	second.submit("Save", "secrets/api_token", pageNewSecret)
	second.is(http.StatusOK, "Provider Tokens")
	second.says("mine", "Connected as Ana Zwei")
}

// After a deletion the page says whether the token is dead on its platform too,
// and if not, exactly where it can be revoked.
func TestPageTellsWhereToRevoke(t *testing.T) {
	t.Parallel()
	slack := providertest.Slack(anas())
	board := providertest.Businessmap(anas())
	more := []func(*providertoken.Options){platform(t, slack, "slack-x", "slack", "Team"), platform(t, board, "board", "businessmap", "Board")}
	w := newPageWorld(t, pageOptions{tokens: func(o *providertoken.Options) {
		for _, add := range more {
			add(o)
		}
	}})
	v := w.visit(t, "ana")
	connect := func(provider, field string) {
		t.Helper()
		v.open("provider-tokens/new?provider=" + provider)
		v.submit("Save", field, pageSecret)
		v.is(http.StatusOK, "Provider Tokens")
	}

	connect("slack-x", "secrets/token")
	v.click("Delete the token for Team")
	v.says("Team is asked to revoke the token, so that it stops working everywhere.")
	v.submit("Delete token for Team")
	v.is(http.StatusOK, "Provider Tokens")
	v.says("The connection was deleted and its secret is gone. Team has revoked the token too.")
	if got := slack.Requests(); got[len(got)-1].Path != "/auth.revoke" {
		t.Errorf("the last request was %s, want the revocation", got[len(got)-1].Path)
	}

	connect("slack-x", "secrets/token")
	v.click("Delete the token for Team")
	slack.Tell(providertest.Broken)
	v.submit("Delete token for Team")
	v.is(http.StatusOK, "Now revoke your token for Team")
	v.says("Team was asked to revoke it and did not confirm that", "https://api.slack.com/apps")
	slack.Tell(providertest.Truth)

	connect("slack-x", "secrets/token")
	slack.Tell(providertest.Revoked)
	v.submit("Test the token for Team")
	v.click("Delete the token for Team")
	v.submit("Delete token for Team")
	v.is(http.StatusOK, "Provider Tokens")
	v.says("The connection was deleted and its secret is gone.")

	connect("jira", "secrets/token")
	v.click("Delete the token for Jira")
	v.says("The token itself works on until you revoke it with Jira: the next page says where.")
	v.submit("Delete token for Jira")
	v.is(http.StatusOK, "Now revoke your token for Jira")
	var address string
	for _, a := range v.all("a") {
		if textOf(a) == "Open Jira" {
			address = attr(a, "href")
		}
	}
	if !strings.HasPrefix(address, "https://127.0.0.1:") || !strings.Contains(address, "/secure/ViewProfile.jspa?selectedTab=") {
		t.Errorf("the link leads to %q, want the page of the user's tokens", address)
	}
	v.says("Jira still accepts it from whoever has a copy", address)
	if !hasAttr(v.all("h1")[0], "autofocus") {
		t.Error("the focus is not on the heading")
	}
	v.click("Back to Provider Tokens")
	v.shows("jira", "not connected")

	connect("board", "secrets/api_key")
	v.click("Delete the token for Board")
	v.says("to revoke the token itself, do so on the platform.")
	v.submit("Delete token for Board")
	v.is(http.StatusOK, "Provider Tokens")
}

// Loading the page after a deletion again sends its form again. It says what was,
// to the owner alone.
func TestPageDeletedBefore(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	_, _, id := pagePosts(t, w)
	again := w.mount("provider-tokens/" + id + "/delete")
	v := w.visit(t, "ana")
	v.open("provider-tokens/" + id + "/delete")
	v.submit("Delete token for Jira")
	v.is(http.StatusOK, "Now revoke your token for Jira")
	v.follow(v.request(http.MethodPost, again, url.Values{"version": {"1"}}))
	v.is(http.StatusNotFound, "Your connection to Jira was deleted before")
	v.says("now nothing was done. If you have not revoked its token with Jira yet, do so there.")
	v.click("Back to Provider Tokens")

	other := w.visit(t, "ben")
	other.follow(other.request(http.MethodPost, again, url.Values{"version": {"1"}}))
	other.is(http.StatusNotFound, "There is nothing here")
}

// What does not open any more cannot be tested, and is asked for when it would be
// kept.
func TestPageOfASecretThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=cloud")
	v.submit("Save", "fields/site", "acme", "fields/email", "ana@acme.example", "secrets/api_token", pageSecret)
	v.is(http.StatusOK, "Provider Tokens")
	owner := lanyard.Owner{Subject: "ana"}
	tokens, err := w.tokens.Tokens(t.Context(), owner)
	pageOK(t, err)
	row, err := w.store.ProviderToken(t.Context(), owner, tokens[0].ID)
	pageOK(t, err)
	for name, secret := range row.Secrets {
		secret.Version += 7
		row.Secrets[name] = secret
	}
	pageOK(t, w.store.UpdateProviderToken(t.Context(), row, lanyard.NewEvent(t.Context(), row.UpdatedAt, owner, "test", row.ID)))
	asked := len(w.cloud.Requests())

	v.open("provider-tokens")
	v.submit("Test the token for Cloud")
	v.is(http.StatusOK, "Provider Tokens")
	v.shows("cloud", "What was saved cannot be opened any more, so nothing was asked. Press Edit to enter it again.")
	v.click("Edit the token for Cloud")
	v.submit("Save", "fields/email", "ana.lima@acme.example")
	v.is(http.StatusUnprocessableEntity, "Edit your token for Cloud")
	v.says("API token: what was saved cannot be opened any more, so please enter it again.")
	checkSummary(t, v.document, "secrets-api_token")
	if n := len(w.cloud.Requests()) - asked; n != 0 {
		t.Errorf("%d requests went out with a secret that does not open", n)
	}
	v.submit("Save", "secrets/api_token", pageSecret)
	v.is(http.StatusOK, "Provider Tokens")
}
