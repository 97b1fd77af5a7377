package docs_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
)

var _ = func(whoIs func(*http.Request) (lanyard.Principal, error), profiles *profile.Service, keys *apikey.Service, tokens *providertoken.Service) (*httpadapter.Handler, error) {
	h, err := httpadapter.New(httpadapter.Config{
		Identify: whoIs, Profiles: profiles, APIKeys: keys, ProviderTokens: tokens,
		Language: func(r *http.Request) string {
			if cookie, err := r.Cookie("language"); err == nil {
				return cookie.Value
			}
			return ""
		},
		Texts: os.DirFS("texts"),
	})
	return h, err
}

func missingTexts(own fs.FS, language string) (missing []string, err error) {
	var english, texts map[string]any
	for name, into := range map[string]*map[string]any{"en": &english, language: &texts} {
		files := own
		if name == "en" {
			files = httpadapter.Texts()
		}
		raw, err := fs.ReadFile(files, name+".json")
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, err
		}
	}
	for id := range english {
		if _, ok := texts[id]; !ok {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

func TestMissingTexts(t *testing.T) {
	t.Parallel()
	if missing, err := missingTexts(httpadapter.Texts(), "pt-BR"); len(missing) > 0 || err != nil {
		t.Errorf("pt-BR lacks %q, %v", missing, err)
	}
	half := fstest.MapFS{"es.json": {Data: []byte(`{"tab.profile": "Perfil"}`)}}
	if missing, err := missingTexts(half, "es"); len(missing) < 100 || slices.Contains(missing, "tab.profile") || err != nil {
		t.Errorf("es lacks %q, %v", missing, err)
	}
}

// A language that the documents add to the catalogue fits every definition.
func TestTranslateTheCatalogue(t *testing.T) {
	t.Parallel()
	definitions := catalog.All()
	for _, d := range definitions {
		d.Translations["es"] = map[string]string{
			"API key": "Clave de API", "API token": "Token de API", "Personal access token": "Token de acceso personal",
		}
		maps.DeleteFunc(d.Translations["es"], func(text, _ string) bool { return !slices.Contains(d.Texts(), text) })
	}
	for _, d := range definitions {
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	}
}
