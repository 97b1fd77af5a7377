package httpadapter_test

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// A browser keeps for ever only what an address names by its version.
func TestPageAssets(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("")
	found := map[string]string{}
	for _, name := range []string{"link", "script"} {
		for _, n := range v.all(name) {
			address := attr(n, "href") + attr(n, "src")
			found[strings.TrimPrefix(address, "./")] = map[string]string{
				"link": "text/css; charset=utf-8", "script": "text/javascript; charset=utf-8",
			}[name]
		}
	}
	if len(found) != 2 {
		t.Fatalf("the page loads %v", found)
	}
	anybody := w.visit(t, "")
	for address, kind := range found {
		path, version, _ := strings.Cut(address, "?v=")
		onDisk, err := os.ReadFile(path)
		pageOK(t, err)
		if kind == "text/css; charset=utf-8" { // which is sent without what stands before its lines
			onDisk = regexp.MustCompile(`(?m)^\s+`).ReplaceAll(onDisk, nil)
		}
		for query, cache := range map[string]string{
			"?v=" + version: "public, max-age=31536000, immutable", "": "no-cache", "?v=another": "no-cache",
		} {
			d := anybody.open(path + query)
			etag := d.header.Get("ETag")
			if d.status != http.StatusOK || d.header.Get("Content-Type") != kind || d.body != string(onDisk) {
				t.Errorf("GET %s%s = %d %s, %d bytes", path, query, d.status, d.header.Get("Content-Type"), len(d.body))
			}
			if got := d.header.Get("Cache-Control"); got != cache || etag != `"`+version+`"` || d.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("GET %s%s: Cache-Control %q, ETag %s, want %q and the version", path, query, got, etag, cache)
			}
			head := anybody.do(anybody.request(http.MethodHead, w.mount(path+query), nil))
			if head.status != http.StatusOK || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(onDisk)) {
				t.Errorf("HEAD %s%s = %d, Content-Length %s", path, query, head.status, head.header.Get("Content-Length"))
			}
			r := anybody.request(http.MethodGet, w.mount(path+query), nil)
			r.Header.Set("If-None-Match", etag)
			if again := anybody.do(r); again.status != http.StatusNotModified || again.body != "" {
				t.Errorf("GET %s%s with its ETag = %d, want 304", path, query, again.status)
			}
		}
	}
}

// The page grows with what somebody has, and no faster: a key takes less than a
// kibibyte of it, also one of a longer name that is used and ends.
func TestPageOfManyKeys(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{keys: func(o *apikey.Options) { o.Limit = 50 }})
	v := w.visit(t, "ana")
	empty := len(v.open("api-keys").body)
	ctx := lanyard.WithRequest(t.Context(), lanyard.Request{IP: "192.0.2.17"})
	for i := range 50 {
		made, err := w.keys.Create(ctx, lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{
			Name: fmt.Sprint("release pipeline of shop ", i), ExpiresAt: w.now.Load().AddDate(0, 0, 3),
		})
		pageOK(t, err)
		_, err = w.keys.Verify(ctx, made.Secret.Reveal())
		pageOK(t, err)
	}
	v.open("api-keys")
	v.is(http.StatusOK, "API Keys")
	v.says("expires in 3 days", "from 192.0.2.0/24")
	if each := (len(v.body) - empty) / 50; each > 1<<10 || each < 512 {
		t.Errorf("a key takes %d bytes of the page, want at most 1 KiB", each)
	} else {
		t.Logf("a key takes %d bytes of the page", each)
	}
}

// The script is small, and writes text where another could write markup: the
// page's policy would stop it, a host's may not.
func TestPageScript(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("assets/lanyard.js")
	pageOK(t, err)
	script := string(raw)
	if len(script) > 8<<10 {
		t.Errorf("lanyard.js has %d bytes, want at most 8 KiB", len(script))
	}
	for _, forbidden := range []string{
		"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "createElement", "createContextualFragment", "DOMParser", "srcdoc",
		"eval(", "Function(", "setTimeout(\"", "import(", "localStorage", "sessionStorage", "console.", ".style",
	} {
		if strings.Contains(script, forbidden) {
			t.Errorf("lanyard.js says %s", forbidden)
		}
	}
	// What it does for the only copy of a key.
	for _, want := range []string{
		`addEventListener("beforeunload"`, `addEventListener("pagehide"`, `addEventListener("pageshow"`,
		"element.value = element.defaultValue = \"\"", "navigator.clipboard.writeText", `document.execCommand("copy")`, `redirect: "error"`, `credentials: "omit"`,
	} {
		if !strings.Contains(script, want) {
			t.Errorf("lanyard.js lacks %s", want)
		}
	}
	// It finds what it looks for.
	templates := readTemplates(t)
	for _, name := range regexp.MustCompile(`\[data-ly-[a-z]+\]`).FindAllString(script, -1) {
		if name := strings.Trim(name, "[]"); !strings.Contains(templates, " "+name) {
			t.Errorf("lanyard.js looks for %s, which no template has", name)
		}
	}
	for _, name := range regexp.MustCompile(` data-ly-[a-z]+`).FindAllString(templates, -1) {
		camel := "ly" + strings.ToUpper(name[9:10]) + name[10:]
		if name != " data-ly-label" && !strings.Contains(script, strings.TrimSpace(name)) && !strings.Contains(script, camel) {
			t.Errorf("a template has%s, which lanyard.js does not know", name)
		}
	}
}

// The style sheet styles what is there, and touches nothing of a host's.
func TestPageStyle(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("assets/lanyard.css")
	pageOK(t, err)
	sheet := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(raw), "")
	if !regexp.MustCompile(`(?s)^\s*@layer lanyard \{\s*\.ly-root \{.*\}\s*\}\s*$`).MatchString(sheet) {
		t.Error("there is a rule outside of the layer or of .ly-root")
	}
	// Nothing moves, so there is nothing to hold still for who asks for that.
	for _, forbidden := range []string{"url(", "@import", "!important", "expression(", "transition", "animation", "scroll-behavior"} {
		if strings.Contains(sheet, forbidden) {
			t.Errorf("lanyard.css says %s", forbidden)
		}
	}
	// What is narrow is the host's column, not the window.
	if regexp.MustCompile(`@media[^{]*width`).MatchString(sheet) {
		t.Error("lanyard.css asks how wide the window is")
	}
	for _, want := range []string{"light-dark(", "@media (forced-colors: active)", ":focus-visible"} {
		if !strings.Contains(sheet, want) {
			t.Errorf("lanyard.css lacks %s", want)
		}
	}
	templates := readTemplates(t)
	var used []string
	for _, m := range regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(templates, -1) {
		used = append(used, regexp.MustCompile(`ly-[a-z-]*[a-z]`).FindAllString(m[1], -1)...)
	}
	used = append(used, "ly-good", "ly-warn", "ly-bad") // tones of a badge
	styled := regexp.MustCompile(`\.(ly-[a-z-]+)`).FindAllStringSubmatch(sheet, -1)
	for _, m := range styled {
		if !slices.Contains(used, m[1]) {
			t.Errorf("lanyard.css styles .%s, which no template has", m[1])
		}
	}
	for _, name := range used {
		if !slices.ContainsFunc(styled, func(m []string) bool { return m[1] == name }) {
			t.Errorf("a template has the class %s, which lanyard.css does not style", name)
		}
	}
}

func readTemplates(t *testing.T) string {
	t.Helper()
	files, err := os.ReadDir("templates")
	pageOK(t, err)
	var all strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".html") {
			raw, err := os.ReadFile("templates/" + f.Name())
			pageOK(t, err)
			all.Write(raw)
		}
	}
	return all.String()
}
