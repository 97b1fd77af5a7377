package catalog_test

import (
	"errors"
	"slices"
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
	want := []string{"azure-devops", "businessmap", "github", "jira-cloud", "jira-data-center", "servicenow"}
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
		"two documents":     {good + "---\n" + good, 0},
		"empty":             {"", 0},
		"bad template":      {replace(t, `"{key}"`, `"{nope}"`), 8},
		"secret not used":   {replace(t, `"{key}"`, `"fixed"`), 7},
		"http":              {replace(t, "https://api", "http://api"), 3},
		"no identity":       {replace(t, "{id: id}", `{name: login}`), 11},
		"missing a label":   {replace(t, "    label: Key\n", ""), 5},
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
	i := -1
	for j := range good {
		if len(good)-j >= len(old) && good[j:j+len(old)] == old {
			i = j
			break
		}
	}
	if i < 0 {
		t.Fatalf("%q is not there", old)
	}
	return good[:i] + with + good[i+len(old):]
}
