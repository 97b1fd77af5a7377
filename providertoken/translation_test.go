package providertoken_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
)

// spoken is a definition with a text of every kind, in two languages.
func spoken() providertoken.Definition {
	d := acme("X-Key")
	d.Name, d.Instance = "Wiki", providertoken.InstanceSpec{Mode: providertoken.ModeFixed, Base: "https://wiki.example"}
	d.Methods[0].Label = "Key"
	d.Methods[0].Fields[0].Label, d.Methods[0].Fields[0].Help = "Secret key", "In the wiki: Keys."
	d.Notices = []providertoken.Notice{{Severity: "info", Text: "Closed on Sunday."}}
	d.Translations = map[string]map[string]string{
		"pt":    {"Wiki": "Enciclopédia", "Key": "Chave", "Secret key": "Chave secreta", "In the wiki: Keys.": "Na enciclopédia: Chaves."},
		"pt-BR": {"Secret key": "Chave sigilosa", "Closed on Sunday.": "Fechado aos domingos."},
	}
	return d
}

// Every text is said in the language asked for, in a wider one, or as it is.
func TestProvidersIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	s, err := providertoken.NewService(w.store, w.sealer, &providertoken.Options{Providers: []providertoken.Definition{spoken()}})
	ok(t, err)
	for language, want := range map[string]string{
		"":           "Wiki|Key|Secret key|In the wiki: Keys.|Closed on Sunday.",
		"en":         "Wiki|Key|Secret key|In the wiki: Keys.|Closed on Sunday.",
		"pt":         "Enciclopédia|Chave|Chave secreta|Na enciclopédia: Chaves.|Closed on Sunday.",
		"pt-BR":      "Enciclopédia|Chave|Chave sigilosa|Na enciclopédia: Chaves.|Fechado aos domingos.",
		"pt-PT":      "Enciclopédia|Chave|Chave secreta|Na enciclopédia: Chaves.|Closed on Sunday.",
		"pt-BR-x-ha": "Enciclopédia|Chave|Chave sigilosa|Na enciclopédia: Chaves.|Fechado aos domingos.",
		"-":          "Wiki|Key|Secret key|In the wiki: Keys.|Closed on Sunday.",
	} {
		p := s.ProvidersIn(language)[0]
		got := strings.Join([]string{p.Name, p.Methods[0].Label, p.Methods[0].Fields[0].Label, p.Methods[0].Fields[0].Help, p.Notices[0].Text}, "|")
		if got != want {
			t.Errorf("ProvidersIn(%q) says %s, want %s", language, got, want)
		}
	}
	// Nothing of a translation gets into what the next caller reads.
	if p := s.Providers()[0]; p.Name != "Wiki" || p.Notices[0].Text != "Closed on Sunday." {
		t.Errorf("Providers() = %+v after another language", p)
	}
}

// A translation of nothing, an empty one and a language that no caller has are
// refused by their place.
func TestTranslationsAreChecked(t *testing.T) {
	t.Parallel()
	if err := spoken().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*providertoken.Definition){
		`/translations/pt: the definition has no text "Clave"`:                       func(d *providertoken.Definition) { d.Translations["pt"]["Clave"] = "Chave" },
		`/translations/pt: is required`:                                              func(d *providertoken.Definition) { d.Translations["pt"]["Key"] = " " },
		`/translations/pt_BR: a language is written as pt, pt-BR or zh-Hant-TW`:      func(d *providertoken.Definition) { d.Translations["pt_BR"] = map[string]string{"Key": "Chave"} },
		`/translations/PT-br: a language is written as pt, pt-BR or zh-Hant-TW`:      func(d *providertoken.Definition) { d.Translations["PT-br"] = map[string]string{"Key": "Chave"} },
		`/translations/Portuguese: a language is written as pt, pt-BR or zh-Hant-TW`: func(d *providertoken.Definition) { d.Translations["Portuguese"] = nil },
	} {
		d := spoken()
		spoil(&d)
		if err := d.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want %q", err, want)
		}
	}
}

// Every text of every platform that ships is there in Portuguese.
func TestTheCatalogueSpeaksPortuguese(t *testing.T) {
	t.Parallel()
	all := catalog.All()
	if len(all) < 13 {
		t.Errorf("the catalogue has %d definitions", len(all))
	}
	for _, d := range all {
		if languages := slices.Sorted(maps.Keys(d.Translations)); !slices.Equal(languages, []string{"pt-BR"}) {
			t.Errorf("%s is translated into %q", d.ID, languages)
		}
		for _, text := range d.Texts() {
			// These are the same in both, or names.
			if text == d.Name || text == "Site" || text == "Token" {
				continue
			}
			if said := d.Translations["pt-BR"][text]; said == "" || said == text {
				t.Errorf("%s: %q is %q in pt-BR", d.ID, text, said)
			}
		}
	}
}
