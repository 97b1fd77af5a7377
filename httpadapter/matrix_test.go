package httpadapter_test

import (
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
)

var updateMatrix = flag.Bool("update", false, "write testdata/matrix.txt anew")

// matrixFile says who gets which status of each route. It is read by people.
const matrixFile = "testdata/matrix.txt"

const matrixHead = `# Who gets which status, for the records of one owner.
#
# Each request is good in itself: its body is right, and {id} is a record of the
# owner's made for it. "other" is another user of the tenant, "tenant" the user
# of the same name in another one, "nobody" has no session, "key" is the owner's
# API key where Config.KeyRoutes opens nothing, "deleted" is a key he deleted.
# Where a route has no {id}, another user gets his own.
#
# The API answers problem documents and the page HTML; "login" is a 303 to
# Config.LoginURL. Written by: go test ./httpadapter -run TestMatrix -update

`

// matrixBodies are the good bodies of the routes that want one.
var matrixBodies = map[string]string{
	"PATCH /profile":                `{"given_name":"n%d"}`,
	"POST /api-keys":                `{"name":"made"}`,
	"PATCH /api-keys/{id}":          `{"name":"renamed"}`,
	"POST /api-keys/{id}/rotations": `{"grace_seconds":60}`,
	"PATCH /provider-tokens/{id}":   `{"label":"%d"}`,
	"POST /provider-tokens":         `{"provider_id":"jira-x","label":"%d","secrets":{"token":"` + apiSecretAna + `"}}`,

	"POST profile/edit":                "version=%v&given_name=n%d&family_name=Lima",
	"POST profile/directory":           "version=%v",
	"POST api-keys/new":                "nonce=nonce%d&name=made&expiry=never",
	"POST api-keys/{id}/rename":        "version=1&name=renamed",
	"POST api-keys/{id}/rotate":        "version=1&grace=3600",
	"POST api-keys/{id}/delete":        "version=1",
	"POST provider-tokens/new":         "label=%d&secrets/token=" + apiSecretAna,
	"POST provider-tokens/{id}/edit":   "version=1&label=%d",
	"POST provider-tokens/{id}/delete": "version=1",
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{
		keys:   func(o *apikey.Options) { o.Limit = -1 },
		tokens: func(o *providertoken.Options) { o.Limit = -1 },
	})
	deletedID, deleted := w.newKey(ana)
	mustAPI(t, w.keys.Delete(t.Context(), ownerOf(ana), deletedID, 0))
	_, key := w.newKey(ana)
	callers := []struct {
		name string
		apiCaller
	}{
		{"owner", session(ana)}, {"other", session(ben)}, {"tenant", session(globex)},
		{"nobody", nobody}, {"key", withKey(key)}, {"deleted", withKey(deleted)},
	}
	for _, c := range callers[:3] {
		w.call(c.apiCaller, "GET", "/whoami", "").is(200)
	}

	var table strings.Builder
	table.WriteString(matrixHead)
	row := func(route string, cells []string) {
		fmt.Fprintf(&table, "%-55s", route)
		for _, cell := range cells {
			fmt.Fprintf(&table, " %-7s", cell)
		}
		text := strings.TrimRight(table.String(), " ")
		table.Reset()
		table.WriteString(text + "\n")
	}
	var heads []string
	for _, c := range callers {
		heads = append(heads, c.name)
	}
	row("", heads)
	api, page := httpadapter.Routes(w.handler)
	n := 0
	for i, route := range append(api, page...) {
		below := "/account/"
		if i < len(api) {
			below = "/account/api/v1"
		}
		var cells []string
		for _, c := range callers {
			n++
			cells = append(cells, w.matrixCell(c.apiCaller, below, route, n))
		}
		if i == len(api) {
			table.WriteString("\n")
		}
		method, path, _ := strings.Cut(route, " ")
		row(fmt.Sprintf("%-6s %s", method, strings.TrimPrefix(below+cmp.Or(path, "."), "/account/")), cells)
	}

	if *updateMatrix {
		mustAPI(t, os.MkdirAll("testdata", 0o755))
		mustAPI(t, os.WriteFile(matrixFile, []byte(table.String()), 0o644))
		return
	}
	want, err := os.ReadFile(matrixFile)
	mustAPI(t, err)
	if table.String() != string(want) {
		lines := strings.Split(string(want), "\n")
		for i, line := range strings.Split(table.String(), "\n") {
			if i >= len(lines) || line != lines[i] {
				t.Errorf("%s says\n%s\nbut it is\n%s", matrixFile, at(lines, i), line)
			}
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// matrixCell sends the n-th request of the matrix.
func (w *apiWorld) matrixCell(who apiCaller, below, route string, n int) string {
	w.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	switch {
	case strings.Contains(path, "api-keys/{id}"):
		id, _ := w.newKey(ana)
		path = strings.Replace(path, "{id}", id, 1)
	case path == "docs/api/{id}":
		path = "docs/api/whoAmI"
	case strings.Contains(path, "provider-tokens/{id}"):
		path = strings.Replace(path, "{id}", w.newToken(ana, fmt.Sprint("for ", n)), 1)
	}
	body, kind := matrixBodies[route], "application/json"
	if below == "/account/" {
		kind = "application/x-www-form-urlencoded"
	}
	if strings.Contains(body, "%v") {
		version := "1"
		if who.session != "" {
			version = strings.Trim(w.call(who, "GET", "/profile", "").is(200).header.Get("ETag"), `"`)
		}
		body = strings.Replace(body, "%v", version, 1)
	}
	body = strings.Replace(body, "%d", strconv.Itoa(n), 1)
	if path == "provider-tokens/new" {
		path += "?provider=" + apiJira
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, below+path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	if body == "" {
		r.Body = http.NoBody
		r.Header.Del("Content-Type")
	}
	a := w.serve(who, r)
	if a.header.Get("Location") == "/login" {
		return "login"
	}
	return strconv.Itoa(a.status)
}
