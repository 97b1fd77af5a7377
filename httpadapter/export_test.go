package httpadapter

import (
	"net/http"
	"testing"

	"golang.org/x/text/language"
)

// Routes names every route that h serves, as "GET /profile" for the API and
// "GET provider-tokens/new" for the page.
func Routes(h *Handler) (api, page []string) {
	for _, r := range h.routes {
		api = append(api, r.name())
	}
	for _, r := range h.page.routes {
		if r.show != nil {
			page = append(page, http.MethodGet+" "+r.path)
		}
		if r.post != nil {
			page = append(page, http.MethodPost+" "+r.path)
		}
	}
	return api, page
}

// ProblemTitles are the titles of the problems by code.
func ProblemTitles() map[string]string {
	titles := map[string]string{}
	for code, t := range problemTypes {
		titles[code] = t.title
	}
	return titles
}

// LanguageOf chooses the language of requests.
func LanguageOf(t testing.TB) func(*http.Request) string {
	t.Helper()
	l, err := newLanguages(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request) string { return l.of(r).language() }
}

// CheckTexts checks a language that ships as a host's are.
func CheckTexts(name string) error {
	files, err := readTextFiles(Texts())
	if err != nil {
		return err
	}
	return files[language.MustParse(name)].check(files[language.English])
}
