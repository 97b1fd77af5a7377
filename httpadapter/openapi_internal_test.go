package httpadapter

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/providertoken"
)

// document is what the tests read of the OpenAPI document.
type document struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Enum []string
			}
		}
		Responses map[string]struct {
			Content map[string]struct {
				Example map[string]any
			}
		}
	}
}

func readDocument(t *testing.T) document {
	t.Helper()
	spec, err := openAPI()
	if err != nil {
		t.Fatal(err)
	}
	if err := wellFormed(spec); err != nil {
		t.Fatalf("openapi.json is not one well-formed document: %v", err)
	}
	var d document
	if err := json.Unmarshal(spec, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIHasTheRoutesOfTheRouter(t *testing.T) {
	t.Parallel()
	// Services only have to be there for their routes to be.
	h := &Handler{config: Config{APIKeys: new(apikey.Service), ProviderTokens: new(providertoken.Service)}}
	var routes []string
	for _, r := range h.apiRoutes() {
		routes = append(routes, r.name())
	}
	var paths []string
	ids := map[string]string{}
	for path, operations := range readDocument(t).Paths {
		for method, raw := range operations {
			if method == "parameters" {
				continue
			}
			name := strings.ToUpper(method) + " " + path
			paths = append(paths, name)
			var operation struct {
				OperationID string
				Summary     string
				Description string
				Responses   map[string]json.RawMessage
			}
			if err := json.Unmarshal(raw, &operation); err != nil {
				t.Fatal(err)
			}
			if operation.OperationID == "" || operation.Summary == "" || operation.Description == "" {
				t.Errorf("%s lacks an operationId, a summary or a description", name)
			}
			if other, taken := ids[operation.OperationID]; taken {
				t.Errorf("%s and %s have the same operationId", name, other)
			}
			ids[operation.OperationID] = name
			for _, status := range []string{"400", "401", "403", "405", "413", "415", "429", "500", "503"} {
				if operation.Responses[status] == nil {
					t.Errorf("%s lacks the status %s, which every operation has", name, status)
				}
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(paths)
	if !slices.Equal(routes, paths) {
		t.Errorf("the router has\n%s\nand openapi.yaml has\n%s", strings.Join(routes, "\n"), strings.Join(paths, "\n"))
	}
}

// The page of the reference lists the operations in the document's words.
func TestReferenceListsTheOperations(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reference/http.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for path, operations := range readDocument(t).Paths {
		for method, raw := range operations {
			var operation struct{ OperationID string }
			if method == "parameters" || json.Unmarshal(raw, &operation) != nil {
				continue
			}
			want = append(want, fmt.Sprintf("| `%s %s` | `%s` |", strings.ToUpper(method), path, operation.OperationID))
		}
	}
	for line := range strings.Lines(string(text)) {
		if cells := strings.SplitAfterN(line, "|", 4); len(cells) == 4 && strings.HasPrefix(cells[2], " `") {
			got = append(got, cells[0]+cells[1]+cells[2])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/reference/http.md lists\n%s\nand openapi.yaml has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOpenAPIHasEveryProblem(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	var want []string
	for code := range problemTypes {
		want = append(want, code)
	}
	for _, v := range rejections {
		want = append(want, string(v))
	}
	got := slices.Clone(d.Components.Schemas["Problem"].Properties["code"].Enum)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("openapi.yaml has the problems %v, want %v", got, want)
	}
	for name, response := range d.Components.Responses {
		example := response.Content["application/problem+json"].Example
		if example == nil {
			continue
		}
		code, _ := example["code"].(string)
		kind := problemTypes[code]
		if example["title"] != kind.title || example["status"] != float64(kind.status) || example["type"] != problemDocs+code {
			t.Errorf("the example of %s is %v, want title %q and status %d", name, example, kind.title, kind.status)
		}
	}
}

// rejections are the verdicts that are codes of problems.
var rejections = []providertoken.Verdict{
	providertoken.VerdictInvalid, providertoken.VerdictExpired, providertoken.VerdictInsufficientScope,
	providertoken.VerdictWrongInstance, providertoken.VerdictRateLimited, providertoken.VerdictUnreachable,
}

func TestOpenAPIHasEveryStatus(t *testing.T) {
	t.Parallel()
	schemas := readDocument(t).Components.Schemas
	for _, c := range []struct {
		schema, property string
		want             []string
	}{
		{"ApiKey", "status", words(apikey.StatusActive, apikey.StatusExpiring, apikey.StatusExpired)},
		{"ProviderToken", "status", words(providertoken.StatusConnected, providertoken.StatusUnverified,
			providertoken.StatusExpiring, providertoken.StatusExpired, providertoken.StatusNeedsAttention, providertoken.StatusNotOffered)},
		{"ProviderToken", "verdict", append([]string{string(providertoken.VerdictOK)}, words(rejections[:4]...)...)},
		{"Verification", "verdict", append([]string{string(providertoken.VerdictOK)}, words(rejections...)...)},
		{"ProviderField", "type", words(providertoken.TypeText, providertoken.TypeEmail, providertoken.TypeDNSLabel, providertoken.TypeSecret)},
	} {
		if got := schemas[c.schema].Properties[c.property].Enum; !slices.Equal(got, c.want) {
			t.Errorf("openapi.yaml: %s.%s = %v, want %v", c.schema, c.property, got, c.want)
		}
	}
}

func words[T ~string](values ...T) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, fmt.Sprint(v))
	}
	return out
}
