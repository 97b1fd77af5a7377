package browser_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/providertoken"
)

var screenshots = flag.String("screenshots", "", "photograph the page for README and docs into this `folder`")

// README and docs show the page as it is: after some use, with what the words
// beside each picture say.
func TestScreenshots(t *testing.T) {
	b := newTab(t, setting{"en", true, 1120, "light"})
	b.open("") // Ana is known from now on
	ctx := lanyard.WithRequest(t.Context(), lanyard.Request{IP: "192.0.2.17"})
	const day = 24 * time.Hour
	for _, k := range []struct {
		name string
		life time.Duration
		used bool
	}{{"Release pipeline", 5 * day, true}, {"Notebook", 0, false}, {"Laptop", 90 * day, true}} {
		r := apikey.CreateRequest{Name: k.name}
		if k.life > 0 {
			r.ExpiresAt = time.Now().Add(k.life)
		}
		made, err := b.host.keys.Create(ctx, ana, r)
		ok(t, err)
		if k.used {
			_, err = b.host.keys.Verify(ctx, made.Secret.Reveal())
			ok(t, err)
		}
	}
	_, err := b.host.tokens.Create(ctx, ana, providertoken.CreateRequest{
		ProviderID: "jira", Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(anasToken)},
	})
	ok(t, err)
	client, err := b.host.tokens.Client(ctx, ana, providertoken.Ref{Provider: "jira"}, &providertoken.Use{AgentID: "reader", Purpose: "list issues"})
	ok(t, err)
	issues, err := client.Get(b.host.jiraURL + "/rest/api/2/search") //nolint:noctx // the client has that of who borrowed it
	ok(t, err)
	ok(t, issues.Body.Close())
	for _, shot := range []struct {
		file, path string
		height     int64
		says       []string
	}{
		{"api-keys", "api-keys", 660, []string{"Laptop", "Notebook", "Release pipeline", "expires in 5 days", "from 192.0.2.0/24", "never used"}},
		{"provider-tokens", "provider-tokens", 1010, []string{"Connected as Ana Lima", b.say("tokens.not_connected")}},
	} {
		b.open(shot.path)
		b.says(shot.says...)
		var png []byte
		b.run(emulation.SetDeviceMetricsOverride(b.width, shot.height, 1, false), chromedp.CaptureScreenshot(&png))
		if len(png) == 0 {
			t.Errorf("there is no picture of %s", shot.path)
		}
		if *screenshots != "" {
			ok(t, os.WriteFile(filepath.Join(*screenshots, shot.file+".png"), png, 0o600))
		}
	}
}
