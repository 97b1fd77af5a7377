package httpadapter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// hostTexts makes a host's file system of texts.
func hostTexts(files map[string]string) fs.FS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// The host decides, then the profile, then the browser; what is not there
// decides nothing.
func TestLanguageIsChosenInOrder(t *testing.T) {
	t.Parallel()
	var locale string
	w := newPageWorld(t, pageOptions{
		config: func(c *httpadapter.Config) {
			c.Language = func(r *http.Request) string { return r.Header.Get("X-Host-Language") }
		},
		identify: func(_ string, p *lanyard.Principal) { p.Locale = locale },
	})
	for _, tt := range []struct{ host, profile, browser, want string }{
		{"", "", "", "en"},
		{"", "", "pt-BR", "pt-BR"},
		{"", "pt-BR", "en", "pt-BR"},
		{"en", "pt-BR", "pt-BR", "en"},
		{"pt-BR", "en", "en", "pt-BR"},
		// What there is no text in, and what is no language, decides nothing.
		{"ja", "pt-BR", "en", "pt-BR"},
		{"", "ja", "pt", "pt-BR"},
		{"!", "%00", "pt", "pt-BR"},
		{strings.Repeat("pt-", 10_000), "", "pt", "pt-BR"},
		// As some identity providers write it.
		{"", "pt_BR", "en", "pt-BR"},
		// Relatives understand each other.
		{"", "", "pt", "pt-BR"},
		{"", "", "pt-PT", "pt-BR"},
		{"", "", "en-GB", "en"},
		// Weights (RFC 9110 section 12.4.2).
		{"", "", "en;q=0.5, pt-BR;q=0.8", "pt-BR"},
		{"", "", "en;q=0.8, pt-BR;q=0.5", "en"},
		{"", "", "pt-BR;q=0, en", "en"},
		{"", "", "pt-BR;q=0", "en"},
		{"", "", "fr, pt-BR;q=0.1", "pt-BR"},
		{"", "", "en;q=0.2,pt;Q=0.3", "pt-BR"},
		{"", "", "*, pt-BR;q=0.1", "pt-BR"},
		// What is malformed spoils nothing beside it.
		{"", "", "en;q=x, pt-BR;q=0.1", "pt-BR"},
		{"", "", "en;q=2, pt-BR;q=0.1", "pt-BR"},
		{"", "", "en;q=-1, en;q=NaN, ;;;, -, pt-BR;q=0.1", "pt-BR"},
		{"", "", strings.Repeat("xx,", 31) + "pt-BR", "pt-BR"},
		{"", "", strings.Repeat("xx,", 100_000) + "pt-BR", "en"},
	} {
		locale = tt.profile
		v := w.visit(t, "ana")
		r := v.request(http.MethodGet, w.mount(""), nil)
		r.Header.Set("Accept-Language", tt.browser)
		r.Header.Set("X-Host-Language", tt.host)
		if got := v.do(r); attr(got.all("html")[0], "lang") != tt.want {
			t.Errorf("host %.20q, profile %q, browser %.40q: %q, want %q", tt.host, tt.profile, tt.browser, attr(got.all("html")[0], "lang"), tt.want)
		}
	}
}

// Who is not known yet, and who is refused, reads his own language too.
func TestLanguageOfErrors(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	stranger := w.visit(t, "")
	r := stranger.request(http.MethodGet, w.mount(""), nil)
	r.Header.Set("Accept-Language", "pt-BR,pt;q=0.9,en;q=0.8")
	stranger.do(r)
	stranger.is(http.StatusUnauthorized, "Entre na sua conta")
	ana := w.visit(t, "ana")
	r = ana.request(http.MethodGet, w.mount("nothing"), nil)
	r.Header.Set("Accept-Language", "pt-BR")
	ana.do(r)
	ana.is(http.StatusNotFound, "Não há nada aqui")
}

// portuguese is a visitor whose profile says so.
func portuguese(t *testing.T, o pageOptions) *visitor {
	t.Helper()
	o.identify = func(_ string, p *lanyard.Principal) { p.Locale, p.ZoneInfo = "pt-BR", "America/Sao_Paulo" }
	return newPageWorld(t, o).visit(t, "ana")
}

// A user who reads Portuguese does all of it in Portuguese.
func TestPageInPortuguese(t *testing.T) {
	t.Parallel()
	v := portuguese(t, pageOptions{config: func(c *httpadapter.Config) { c.Product = "" }})
	v.open("")
	v.is(http.StatusOK, "Perfil")
	v.says("Sua conta em nosso serviço", "Quem você é em nosso serviço.", "Chaves de API", "não pode ser alterado aqui")
	v.click("Editar seu nome")
	v.submit("Salvar", "given_name", strings.Repeat("x", 101))
	v.says("Nome: o texto é longo demais.")
	v.open("api-keys/new")
	v.says("30 dias até 23 de dez. de 2026", "1 ano até 23 de nov. de 2027", "Cancelar")
	v.submit("Criar chave", "name", "ci")
	v.is(http.StatusCreated, "Sua nova chave de API")
	v.says("Copiar", "Já guardei a chave", "Funciona até 21 de fev. de 2027.")
	_, err := v.w.keys.Create(t.Context(), lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "soon", ExpiresAt: v.w.now.Load().Add(36 * time.Hour)})
	pageOK(t, err)
	v.open("api-keys")
	v.says("23 de nov. de 2026, 09:00 -03", "nunca usada", "expira em 1 dia")
	v.click("Excluir chave ci")
	v.is(http.StatusOK, "Excluir a chave ci?")
	v.submit("Excluir a chave ci")
	v.says("A chave foi excluída e não funciona mais.")
	v.open("provider-tokens/new?provider=azure-devops")
	v.is(http.StatusOK, "Conectar Azure DevOps")
	v.says("Organização", "Token de acesso pessoal", "Os tokens de acesso pessoal globais deixam de funcionar", "Configurações do usuário")
	v.open("provider-tokens/new?provider=jira")
	v.w.jira.Tell(providertest.Captcha)
	v.submit("Salvar", "secrets/token", pageSecret)
	v.says("Jira pede um CAPTCHA antes de voltar a aceitar um token desta conta.")
	v.open("activity")
	v.says("Chave de API excluída", "sua sessão")
}

// The plural forms and the numbers are those of the language.
func TestPluralsAndNumbers(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for _, tt := range []struct {
		life time.Duration
		want string
	}{
		{time.Minute, "1 minuto"}, {20 * time.Minute, "20 minutos"}, {time.Hour, "1 hora"}, {2 * time.Hour, "2 horas"},
		{day, "1 dia"}, {7 * day, "7 dias"}, {1500 * day, "1.500 dias"},
	} {
		v := portuguese(t, pageOptions{keys: func(o *apikey.Options) { o.DefaultLife = tt.life }})
		v.open("api-keys/new")
		v.says(tt.want + " até ")
	}
}

// The titles of the API's problems and the texts of providers are in the
// caller's language. Codes, and details for who writes a client, are not.
func TestLanguageOfTheAPI(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	for accept, want := range map[string][2]string{
		"":            {"en", "Sign in, or send a valid API key."},
		"pt-BR, en":   {"pt-BR", "Entre ou envie uma chave de API válida."},
		"ja":          {"en", "Sign in, or send a valid API key."},
		"pt;q=0.1,en": {"en", "Sign in, or send a valid API key."},
	} {
		got := w.call(nobody, "GET", "/profile", "", "Accept-Language", accept).refused(401, "unauthenticated")
		var body struct{ Title string }
		pageOK(t, json.Unmarshal(got.body, &body))
		if body.Title != want[1] || got.header.Get("Content-Language") != want[0] || got.header.Get("Vary") != "Accept-Language" {
			t.Errorf("Accept-Language %q: %q in %q, Vary %q; want %q", accept, body.Title, got.header.Get("Content-Language"), got.header.Get("Vary"), want)
		}
	}
	got := w.call(session(ana), "GET", "/providers", "", "Accept-Language", "pt-BR").is(200)
	if !strings.Contains(string(got.body), `"label":"Token de acesso pessoal"`) || got.header.Get("Content-Language") != "pt-BR" {
		t.Errorf("GET /providers in pt-BR = %s in %q", got.body, got.header.Get("Content-Language"))
	}
	if got := w.call(session(ana), "GET", "/providers", "").is(200); !strings.Contains(string(got.body), `"label":"Personal access token"`) {
		t.Errorf("GET /providers = %s, want it in English", got.body)
	}
}

// A host replaces single texts, and adds languages.
func TestHostTexts(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.Texts = hostTexts(map[string]string{
			"pt-BR.json": `{"tab.keys": "Senhas de robô", "keys.expires_in": {"one": "só amanhã", "many": "{{.N}}", "other": "mais {{.N}} dias"}}`,
			"pt-PT.json": `{"profile.email": "Correio eletrónico"}`,
			"ar.json":    `{"tab.profile": "ملف"}`,
			"ja.json":    `{"span.days": "{{.N}}日"}`,
			"README.md":  "no texts",
		})
	}})
	open := func(language string, says ...string) *visitor {
		v := w.visit(t, "ana")
		r := v.request(http.MethodGet, w.mount(""), nil)
		r.Header.Set("Accept-Language", language)
		v.do(r)
		if got := attr(v.all("html")[0], "lang"); got != language {
			t.Errorf("Accept-Language %s is answered in %s", language, got)
		}
		v.says(says...)
		return v
	}
	open("en", "API Keys", "Email address")
	open("pt-BR", "Senhas de robô", "E-mail")
	open("pt-PT", "Senhas de robô", "Correio eletrónico")
	if v := open("ar", "ملف", "Email address"); attr(v.all("html")[0], "dir") != "rtl" {
		t.Error("Arabic is not written from right to left")
	}
	v := w.visit(t, "ana")
	r := v.request(http.MethodGet, w.mount("api-keys/new"), nil)
	r.Header.Set("Accept-Language", "ja")
	v.do(r)
	v.says("30日 until 23 Dec 2026")
	if d := w.visit(t, "ana").open("api/v1/meta"); !strings.Contains(d.body, `"languages":["en","pt-BR","ar","ja","pt-PT"]`) {
		t.Errorf("GET /meta = %s", d.body)
	}
}

// New says which text of which file it refuses.
func TestHostTextsAreChecked(t *testing.T) {
	t.Parallel()
	profiles := newPageWorld(t, pageOptions{}).profiles
	for _, tt := range []struct{ name, file, want string }{
		{"es.json", `{"tab.key": "Llaves"}`, `es.json: "tab.key": there is no such text`},
		{"es.json", `{"tab.keys": " "}`, `es.json: "tab.keys": it is empty`},
		{"es.json", `{"keys.key_named": "llave"}`, `es.json: "keys.key_named": {{.Name}} is missing`},
		{"es.json", `{"keys.filtered": "{n}"}`, `es.json: "keys.filtered": {total} is missing`},
		{"es.json", `{"keys.key_named": "llave {{.Name}} {{.Owner}}"}`, `es.json: "keys.key_named": nothing fills in {{.Owner}}`},
		{"es.json", `{"keys.key_named": "llave {{.Name"}`, `es.json: "keys.key_named": `},
		{"es.json", `{"keys.key_named": "{{printf \"%s\" .Name}}"}`, `function "printf" not defined`},
		{"es.json", `{"keys.key_named": "{{range .Name}}{{.}}{{end}}"}`, `more than a text may do`},
		{"es.json", `{"keys.key_named": "{{define \"x\"}}{{end}}{{template \"x\"}}{{.Name}}"}`, `more than a text may do`},
		{"es.json", `{"keys.key_named": "{{if .Name.Owner}}a{{end}}"}`, `more than a text may do`},
		{"es.json", `{"span.days": {"one": "{{.N}} día"}}`, `es.json: "span.days": the form "other" is missing`},
		{"pl.json", `{"span.days": {"one": "{{.N}} dzień", "other": "{{.N}} dnia"}}`, `pl.json: "span.days": there is no plural form for 0 in pl`},
		{"es.json", `{"span.days": {"other": "días"}}`, `es.json: "span.days": {{.N}} is missing`},
		{"es.json", `{"span.days": {"others": "{{.N}} días", "other": "{{.N}} días"}}`, `"others" is no plural form`},
		{"es.json", `{"tab.keys": {"other": "Llaves"}}`, `it counts nothing`},
		{"es.json", `{"tab.keys": 7}`, `es.json: "tab.keys" is neither a text`},
		{"es.json", `{"tab.keys": "a", "tab.keys": "b"}`, `es.json: `},
		{"es.json", `[]`, `es.json: `},
		{"castellano!.json", `{}`, `castellano!.json: the name is no language`},
		{"texts/es.json", `{}`, `there is no <language>.json`},
	} {
		_, err := httpadapter.New(httpadapter.Config{
			Identify: func(*http.Request) (lanyard.Principal, error) { return lanyard.Principal{}, lanyard.ErrUnauthenticated },
			Profiles: profiles,
			Texts:    hostTexts(map[string]string{tt.name: tt.file}),
		})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "httpadapter: Config.Texts: ") {
			t.Errorf("New with %s %s: %v, want %q", tt.name, tt.file, err, tt.want)
		}
	}
}

// A language that lacks texts works, and the log says which.
func TestMissingTextsAreLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		all := shippedTexts(t, "en")
		delete(all, "tab.docs")
		for id, text := range all {
			all[id] = text + "."
		}
		raw, err := json.Marshal(all)
		pageOK(t, err)
		c.Texts = hostTexts(map[string]string{"ja.json": string(raw), "pt-PT.json": `{"tab.docs": "Manuais"}`})
	}})
	if got := log.String(); strings.Count(got, "texts are missing") != 1 || !strings.Contains(got, "language=ja count=1 ids=[tab.docs]") {
		t.Errorf("the log is %q", got)
	}
}

// The API's callers by key and strangers cannot make it slow with a header.
func BenchmarkLanguageOfRequest(b *testing.B) {
	choose := httpadapter.LanguageOf(b)
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, header := range []string{"pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7", strings.Repeat("xx-Latn-XX,", 5000)} {
		r.Header.Set("Accept-Language", header)
		b.Run(fmt.Sprintf("%d bytes", len(header)), func(b *testing.B) {
			for b.Loop() {
				choose(r)
			}
		})
	}
}
