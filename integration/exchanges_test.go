// Package integration_test tests lanyard with what must not come into a host's
// go.sum: real servers, other people's clients and validators.
package integration_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
)

// exchangesVariable names the file to which httpadapter's tests append what was
// asked and answered.
const exchangesVariable = "LANYARD_TEST_EXCHANGES"

// api is where the API lies below the mount.
const api = "/api/v1"

// exchange is one line of that file.
type exchange struct {
	Test         string
	Method       string
	Target       string
	Header       http.Header
	Body         []byte
	Status       int
	AnswerHeader http.Header `json:"answer_header"`
	Answer       []byte
}

// Every exchange of the handler's tests is as the OpenAPI document says, and
// every operation of the document was tried with success.
func TestExchangesAreAsDescribed(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../httpadapter/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asked := newValidator(t, source)
	if ok, errs := asked.ValidateDocument(); !ok {
		t.Fatalf("openapi.yaml is no OpenAPI 3.1: %s", words(errs))
	}
	// In answers the document allows what it does not know, for clients that
	// are older than the service; the test does not.
	answered := newValidator(t, closed(t, source))
	operations := operationsOf(t, source)

	file, err := os.Open(exchangesFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	seen, count := map[string]bool{}, 0
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("line %d is no exchange: %v", count+1, err)
		}
		count++
		if path, below := strings.CutPrefix(e.Target, api); below {
			e.Target = path
			e.validate(t, asked, answered, operations, seen)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, o := range operations {
		if !seen[o.name()] {
			t.Errorf("no exchange of %s with success among %d", o.name(), count)
		}
	}
	t.Logf("%d exchanges", count)
}

// exchangesFile returns the file with the exchanges, and makes it where nobody
// named one.
func exchangesFile(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(exchangesVariable); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "exchanges.jsonl")
	run := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./httpadapter")
	run.Dir, run.Env = "..", append(os.Environ(), exchangesVariable+"="+path)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("run httpadapter's tests: %v\n%s", err, out)
	}
	return path
}

// operation is one method and path of the document.
type operation struct{ method, path string }

func (o operation) name() string { return o.method + " " + o.path }

// takes reports whether a path may be the operation's.
func (o operation) takes(path string) bool {
	want, got := strings.Split(o.path, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && want[i] != "{id}" {
			return false
		}
	}
	return true
}

func newValidator(t *testing.T, source []byte) validator.Validator {
	t.Helper()
	document, err := libopenapi.NewDocument(source)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(document, config.WithFormatAssertions())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return v
}

// closed returns the document with every object closed that names its members
// and does not say whether there may be others.
func closed(t *testing.T, source []byte) []byte {
	t.Helper()
	text, err := yaml.YAMLToJSON(source)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(node any) {
		switch v := node.(type) {
		case []any:
			for _, member := range v {
				walk(member)
			}
		case map[string]any:
			_, named := v["properties"].(map[string]any)
			if _, said := v["additionalProperties"]; named && !said && v["type"] == "object" {
				v["additionalProperties"] = false
			}
			for _, member := range v {
				walk(member)
			}
		}
	}
	walk(document)
	if text, err = json.Marshal(document); err != nil {
		t.Fatal(err)
	}
	return text
}

func operationsOf(t *testing.T, source []byte) []operation {
	t.Helper()
	document, err := libopenapi.NewDocument(source)
	if err != nil {
		t.Fatal(err)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	var out []operation
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			out = append(out, operation{strings.ToUpper(method), path})
		}
	}
	if len(out) == 0 {
		t.Fatal("openapi.yaml has no operations")
	}
	return out
}

// validate holds one exchange against the document. Where the router knows no
// operation, 404 and 405 are as they are for any other.
func (e exchange) validate(t *testing.T, asked, answered validator.Validator, operations []operation, seen map[string]bool) {
	t.Helper()
	path, _, _ := strings.Cut(e.Target, "?")
	method := e.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	stand := operation{http.MethodGet, "/profile"}
	matched := false
	for _, o := range operations {
		if o.takes(path) {
			if stand = o; o.method == method {
				matched = true
				break
			}
		}
	}
	if !matched && e.Status != http.StatusNotFound && e.Status != http.StatusMethodNotAllowed {
		t.Errorf("%s: %s %s = %d, which no operation describes", e.Test, e.Method, e.Target, e.Status)
		return
	}
	success := e.Status < 300
	target := e.Target
	if !success {
		// What was wrong with the request may be its path.
		target = strings.ReplaceAll(stand.path, "{id}", "x")
	}
	url, err := url.ParseRequestURI(target)
	if err != nil {
		t.Errorf("%s: %s %s: %v", e.Test, e.Method, e.Target, err)
		return
	}
	request := &http.Request{
		Method: stand.method, URL: url, Header: e.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(e.Body)), ContentLength: int64(len(e.Body)),
	}
	if e.Method == http.MethodHead && success {
		if len(e.Answer) > 0 {
			t.Errorf("%s: HEAD %s has a body", e.Test, e.Target)
		}
		return
	}
	if success {
		seen[stand.name()] = true
		if string(e.Body) == "null" {
			// Counts as an empty object, as the document says in words.
			request.Body, request.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
		}
		if ok, errs := asked.ValidateHttpRequestSync(request); !ok {
			t.Errorf("%s: %s %s = %d, but the request is not as described: %s", e.Test, e.Method, e.Target, e.Status, words(errs))
		}
		request.Body = io.NopCloser(bytes.NewReader(e.Body))
	}
	if e.Method == http.MethodHead {
		return
	}
	response := &http.Response{
		StatusCode: e.Status, Header: e.AnswerHeader, Request: request,
		Body: io.NopCloser(bytes.NewReader(e.Answer)), ContentLength: int64(len(e.Answer)),
	}
	if ok, errs := answered.ValidateHttpResponse(request, response); !ok {
		t.Errorf("%s: %s %s = %d is not as described: %s", e.Test, e.Method, e.Target, e.Status, words(errs))
	}
}

func words(errs []*errors.ValidationError) string {
	var out []string
	for _, e := range errs {
		out = append(out, fmt.Sprintf("%s: %s", e.Message, e.Reason))
		for _, s := range e.SchemaValidationErrors {
			out = append(out, s.Reason)
		}
	}
	return strings.Join(out, "; ")
}
