package catalog_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
)

func TestAll(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, d := range catalog.All() {
		ids = append(ids, d.ID)
	}
	want := []string{
		"azure-devops", "bitbucket-cloud", "businessmap", "confluence-cloud", "figma", "github", "github-enterprise", "gitlab",
		"jira-cloud", "jira-data-center", "notion", "servicenow", "slack",
	}
	if !slices.Equal(ids, want) {
		t.Errorf("All() = %v, want %v", ids, want)
	}
}

func TestNoticeHasItsDates(t *testing.T) {
	t.Parallel()
	for _, d := range catalog.All() {
		if d.ID != "azure-devops" {
			continue
		}
		n := d.Notices[0]
		from, until := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		if !n.From.Equal(from) || !n.Until.Equal(until) {
			t.Errorf("notice from %v until %v, want %v and %v", n.From, n.Until, from, until)
		}
	}
}

const good = `id: acme
name: Acme
instance: {mode: fixed, base: "https://api.acme.example"}
methods:
  - id: key
    label: Key
    fields: [{name: key, label: Key}]
    headers: {X-Key: "{key}"}
verify:
  - path: /me
    identity: {id: id}
`

func TestLoadNamesFileAndLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		line int
	}{
		"unknown name":      {good + "colour: red\n", 12},
		"doubled name":      {good + "name: Again\n", 12},
		"wrong type":        {good + "limits: {per_minute: many}\n", 12},
		"not YAML":          {"id: [\n", 1},
		"two documents":     {good + "---\n" + good, 12},
		"empty":             {"", 1},
		"comments only":     {"# nothing\n", 1},
		"a list":            {"- id: acme\n", 1},
		"bad template":      {replace(t, `"{key}"`, `"{nope}"`), 8},
		"secret not used":   {replace(t, `"{key}"`, `"fixed"`), 7},
		"http":              {replace(t, "https://api", "http://api"), 3},
		"no identity":       {replace(t, "{id: id}", `{name: login}`), 11},
		"missing a label":   {replace(t, "    label: Key\n", ""), 5},
		"http origin":       {replace(t, `acme.example"`, `acme.example", origins: ["http://b.acme.example"]`), 3},
		"secret in address": {replace(t, `mode: fixed, base: "https://api.`, `mode: template, base: "https://{key}.`), 3},
		"secret in origin":  {replace(t, `acme.example"`, `acme.example", origins: ["https://{key}.acme.example"]`), 3},
		"userinfo":          {replace(t, "https://api", "https://user@api"), 3},
		"unclosed template": {replace(t, `"{key}"`, `"{key"`), 8},
		"b64 in b64":        {replace(t, `"{key}"`, `"{b64:{b64:{key}}}"`), 8},
		"b64 in address":    {replace(t, "https://api", "https://{b64:a}"), 3},
		"transport header":  {replace(t, "X-Key", "Host"), 8},
		"same header twice": {replace(t, `X-Key: "{key}"`, `X-Key: "{key}", x-key: "{key}"`), 8},
		"same field twice":  {replace(t, "[{name: key, label: Key}]", "[{name: key, label: Key}, {name: key, label: Again}]"), 7},
		"wrong case":        {replace(t, "{name: key", "{Name: key"), 7},
		"text as number":    {good + `limits: {per_minute: "30"}` + "\n", 12},
		"part of a number":  {good + "limits: {per_minute: 1.5}\n", 12},
		"huge number":       {good + "limits: {per_minute: 99999999999999999999}\n", 12},
		"negative limit":    {good + "limits: {per_minute: -1}\n", 12},
		"status as text":    {good + `    accept: {status: ["200"]}` + "\n", 12},
		"status alone":      {good + "    accept: {status: 200}\n", 12},
		"number as text":    {replace(t, "name: Acme", "name: 5"), 2},
		"no name":           {replace(t, "name: Acme", "name:"), 2},
		"word as bool":      {replace(t, "    label: Key\n", "    label: Key\n    lockout: yes\n"), 7},
		"unreadable date":   {good + "notices: [{from: yesterday, severity: info, text: x}]\n", 12},
		"lifetime in days":  {replace(t, "    label: Key\n", "    label: Key\n    lifetime: {max: 90 days}\n"), 7},
		"map for a list":    {good + "notices: {text: x}\n", 12},
		"list for a map":    {good + "limits: [30]\n", 12},
		"anchor":            {replace(t, "name: Acme", "name: &n Acme"), 2},
		"merge key":         {good + "limits:\n  <<: {per_hour: 1}\n", 13},
		"tag":               {replace(t, "name: Acme", "name: !!str Acme"), 2},
		"rule says ok":      {good + "    rules: [{when: {status: [200]}, verdict: ok}]\n", 12},
		"next at the end":   {good + "    rules: [{when: {status: [404]}, verdict: next}]\n", 12},
		"empty condition":   {good + "    accept: {json: [{path: id}]}\n", 12},
		"probe elsewhere":   {replace(t, "path: /me", "path: //evil.example/me"), 10},
		"probe sets a key":  {good + "    headers: {x-key: mine}\n", 12},
		"bad pattern":       {replace(t, "label: Key}]", "label: Key, shapes: [{pattern: '('}]}]"), 7},
		"bad mode":          {replace(t, "mode: fixed", "mode: anywhere"), 3},
		"chosen domain":     {replace(t, "mode: fixed, base: \"https://api.acme.example", "mode: template, base: \"https://api.{key}"), 3},
		"no probes":         {strings.Split(good, "verify:")[0], 1},
		"Latin-1":           {good + "notices: [{severity: info, text: \"caf\xe9\"}]\n", 12},
		"UTF-16":            {"\xff\xfei\x00d\x00:\x00", 1},
		"bad rule's status": {good + "    rules: [{when: {status: [99]}, verdict: invalid}]\n", 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := catalog.Load(fstest.MapFS{"dir/acme.yaml": {Data: []byte(c.text)}})
			var at *catalog.Error
			if !errors.As(err, &at) {
				t.Fatalf("Load = %v, want an *Error", err)
			}
			if at.File != "dir/acme.yaml" || at.Line != c.line {
				t.Errorf("Load = %v, want line %d", err, c.line)
			}
		})
	}
}

// All faults of all files are named, not only the first.
func TestLoadNamesEveryFault(t *testing.T) {
	t.Parallel()
	two := replace(t, "https://api", "http://api")
	two = strings.Replace(two, "path: /me", "path: me", 1)
	_, err := catalog.Load(fstest.MapFS{"a.yaml": {Data: []byte(two)}, "b.yaml": {Data: []byte("id: [\n")}})
	if err == nil {
		t.Fatal("Load = nil")
	}
	for _, want := range []string{"a.yaml:3:", "a.yaml:10:", "b.yaml:1:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v, want it to name %s", err, want)
		}
	}
}

func TestLoadTakesAByteOrderMark(t *testing.T) {
	t.Parallel()
	got, err := catalog.Load(fstest.MapFS{"a.yaml": {Data: []byte("\ufeff" + good)}})
	if err != nil || len(got) != 1 || got[0].ID != "acme" {
		t.Errorf("Load = %+v, %v", got, err)
	}
}

// What a host does to what it was given changes nothing for the next.
func TestAllIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	first := catalog.All()
	for i := range first {
		first[i].Methods[0].Headers = nil
		first[i].Verify[0].Path = "/evil"
		clear(first[i].Verify[0].Rules)
	}
	for _, d := range catalog.All() {
		if err := d.Validate(); err != nil {
			t.Errorf("All() after a change of what it returned before: %v", err)
		}
	}
}

// Where a definition is accepted it can be offered, and is made of https
// addresses only.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, "{key}", "{b64:x:{key}}", 1)))
	f.Add([]byte(strings.Replace(good, "https://api.acme.example", "https://[::1]:8443/api", 1)))
	f.Add([]byte(good + "limits: {<<: *a, per_minute: 0x10}\n"))
	f.Add([]byte(good + "---\n"))
	f.Add([]byte("\xff\xfe"))
	own := os.DirFS(".")
	names, err := fs.Glob(own, "*.yaml")
	if err != nil || len(names) == 0 {
		f.Fatalf("the catalogue's files: %v, %v", names, err)
	}
	for _, name := range names {
		raw, err := fs.ReadFile(own, name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := catalog.Load(fstest.MapFS{"f.yaml": {Data: raw}})
		if err != nil {
			var at *catalog.Error
			if !errors.As(err, &at) || at.File != "f.yaml" {
				t.Errorf("Load = %v, which names no file", err)
			}
			return
		}
		d := got[0]
		if err := d.Validate(); err != nil {
			t.Errorf("Load accepted what Validate refuses: %v", err)
		}
		for _, place := range append([]string{d.Instance.Base}, d.Instance.Origins...) {
			if d.Instance.Mode != providertoken.ModeOperator && !strings.HasPrefix(place, "https://") {
				t.Errorf("Load accepted the address %q", place)
			}
		}
	})
}

func TestLoadTakesEachIDOnce(t *testing.T) {
	t.Parallel()
	_, err := catalog.Load(fstest.MapFS{"a.yaml": {Data: []byte(good)}, "b.yml": {Data: []byte(good)}})
	var at *catalog.Error
	if !errors.As(err, &at) || at.File != "b.yml" || at.Line != 1 {
		t.Errorf("Load = %v, want an error in b.yml:1", err)
	}
}

func TestLoadReadsWhatIsThere(t *testing.T) {
	t.Parallel()
	got, err := catalog.Load(fstest.MapFS{"acme.yaml": {Data: []byte(good)}, "README.md": {Data: []byte("# no")}})
	if err != nil || len(got) != 1 || got[0].Methods[0].Headers["X-Key"] != "{key}" {
		t.Errorf("Load = %+v, %v", got, err)
	}
	if err := (providertoken.Definition{}).Validate(); err == nil {
		t.Error("Validate of an empty definition = nil")
	}
}

func replace(t *testing.T, old, with string) string {
	t.Helper()
	text := strings.Replace(good, old, with, 1)
	if text == good {
		t.Fatalf("%q is not there", old)
	}
	return text
}
