package providertoken_test

import (
	"slices"
	"testing"

	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
)

// A provider speaks the language it is asked for in as far as it can, and what
// one caller makes of it is nobody else's.
func TestProviderIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *providertoken.Options) {
		d := acme("X-Key")
		d.Instance = providertoken.InstanceSpec{Mode: providertoken.ModeFixed, Base: "https://api.acme.example"}
		d.Methods[0].Fields[0].Help = "Under Settings."
		d.Notices = []providertoken.Notice{{Severity: "info", Text: "Soon."}}
		d.Translations = map[string]map[string]string{
			"pt":    {"Key": "Chave", "Soon.": "Em breve.", "Under Settings.": "Em Configurações."},
			"de-AT": {"Key": "Schlüssel"},
		}
		o.Providers = append(o.Providers, d)
	})
	all := w.tokens.Providers()
	p := all[slices.IndexFunc(all, func(p providertoken.Provider) bool { return p.ID == "acme" })]
	for language, want := range map[string][4]string{
		"":        {"Key", "Key", "Under Settings.", "Soon."},
		"en":      {"Key", "Key", "Under Settings.", "Soon."},
		"pt-BR":   {"Chave", "Chave", "Em Configurações.", "Em breve."},
		"PT":      {"Chave", "Chave", "Em Configurações.", "Em breve."},
		"de-AT":   {"Schlüssel", "Schlüssel", "Under Settings.", "Soon."},
		"de":      {"Key", "Key", "Under Settings.", "Soon."},
		"-":       {"Key", "Key", "Under Settings.", "Soon."},
		"pt-x-ao": {"Chave", "Chave", "Em Configurações.", "Em breve."},
	} {
		in := p.In(language)
		m := in.Methods[0]
		if got := [4]string{m.Label, m.Fields[0].Label, m.Fields[0].Help, in.Notices[0].Text}; got != want {
			t.Errorf("In(%q) says %q, want %q", language, got, want)
		}
	}
	if m := p.Methods[0]; m.Label != "Key" || m.Fields[0].Label != "Key" || p.Notices[0].Text != "Soon." {
		t.Errorf("the provider that was translated says %q now", m.Label)
	}
}

// What ships is whole in each language that it is in.
func TestTranslationsOfTheCatalogueAreWhole(t *testing.T) {
	t.Parallel()
	for _, d := range catalog.All() {
		if len(d.Translations) != 1 || d.Translations["pt-BR"] == nil {
			t.Errorf("%s is in %d further languages, want it in pt-BR", d.ID, len(d.Translations))
		}
		texts := d.Translations["pt-BR"]
		read := func(text string) {
			if text != "" && texts[text] == "" {
				t.Errorf("%s: %q is in English alone", d.ID, text)
			}
		}
		for _, m := range d.Methods {
			read(m.Label)
			for _, f := range m.Fields {
				read(f.Label)
				read(f.Help)
			}
		}
		for _, n := range d.Notices {
			read(n.Text)
		}
	}
}
