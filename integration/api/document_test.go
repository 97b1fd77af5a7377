package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
)

// document is httpadapter/openapi.yaml, and what holds exchanges against it.
type document struct {
	root       map[string]any
	operations []operation // in a stable order
	asked      validator.Validator
	answered   validator.Validator
}

// operation is one method and path of the document.
type operation struct {
	method, path string
	parameters   []map[string]any
	bodies       map[string]map[string]any // schemas by media type
	statuses     map[string]bool
}

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

func readDocument(t *testing.T) *document {
	t.Helper()
	source, err := os.ReadFile("../../httpadapter/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.YAMLToJSON(source)
	if err != nil {
		t.Fatal(err)
	}
	d := new(document)
	if err := json.Unmarshal(text, &d.root); err != nil {
		t.Fatal(err)
	}
	d.asked = newValidator(t, source)
	if ok, errs := d.asked.ValidateDocument(); !ok {
		t.Fatalf("openapi.yaml is no OpenAPI 3.1: %s", words(errs))
	}
	d.answered = newValidator(t, closed(t, text))
	d.readOperations()
	if len(d.operations) == 0 {
		t.Fatal("openapi.yaml has no operations")
	}
	return d
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
// and does not say whether there may be others. In answers the document allows
// what it does not know, for clients that are older than the service; a test
// does not.
func closed(t *testing.T, text []byte) []byte {
	t.Helper()
	var root any
	if err := json.Unmarshal(text, &root); err != nil {
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
	walk(root)
	out, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (d *document) readOperations() {
	paths := d.at(d.root, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := d.at(paths, path)
		shared, _ := item["parameters"].([]any)
		for _, method := range slices.Sorted(maps.Keys(item)) {
			if method == "parameters" {
				continue
			}
			raw := d.at(item, method)
			o := operation{method: strings.ToUpper(method), path: path, bodies: map[string]map[string]any{}, statuses: map[string]bool{}}
			own, _ := raw["parameters"].([]any)
			for _, p := range slices.Concat(shared, own) {
				o.parameters = append(o.parameters, d.resolve(p))
			}
			for kind := range d.at(raw, "requestBody", "content") {
				o.bodies[kind] = d.at(raw, "requestBody", "content", kind, "schema")
			}
			for status := range d.at(raw, "responses") {
				o.statuses[status] = true
			}
			d.operations = append(d.operations, o)
		}
	}
}

// at goes down by names and follows references; nil where nothing is.
func (d *document) at(node map[string]any, names ...string) map[string]any {
	for _, name := range names {
		node = d.resolve(node[name])
	}
	return node
}

func (d *document) resolve(node any) map[string]any {
	m, _ := node.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return d.at(d.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return m
}

// operation finds the one that an exchange is of.
func (d *document) operation(e exchange) (operation, bool) {
	path, _, _ := strings.Cut(e.Target, "?")
	method := e.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	stand := operation{method: http.MethodGet, path: "/profile"}
	for _, o := range d.operations {
		if o.takes(path) {
			if stand = o; o.method == method {
				return o, true
			}
		}
	}
	return stand, false
}

// faults says in what an exchange is not as the document describes it. Where no
// operation is meant, 404 and 405 are as they are for any other.
func (d *document) faults(e exchange) []string {
	o, meant := d.operation(e)
	what := fmt.Sprintf("%s %.200s = %d", e.Method, e.Target, e.Status)
	if !meant && e.Status != http.StatusNotFound && e.Status != http.StatusMethodNotAllowed {
		return []string{what + ", which no operation describes"}
	}
	success := e.Status < 300
	target := e.Target
	if !success {
		// What was wrong with the request may be its path.
		target = strings.ReplaceAll(o.path, "{id}", "x")
	}
	address, err := url.ParseRequestURI(target)
	if err != nil {
		return []string{what + ": " + err.Error()}
	}
	request := &http.Request{
		Method: o.method, URL: address, Header: e.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(e.Body)), ContentLength: int64(len(e.Body)),
	}
	if len(e.Body) == 0 {
		request.Header.Del("Content-Type") // of nothing; nobody looks at it
	}
	var faults []string
	if success && e.Method != http.MethodHead {
		if string(bytes.TrimSpace(e.Body)) == "null" {
			// Counts as an empty object, as the document says in words.
			request.Body, request.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
		}
		if ok, errs := d.asked.ValidateHttpRequestSync(request); !ok {
			faults = append(faults, what+", but the request is not as described: "+words(errs))
		}
		request.Body = io.NopCloser(bytes.NewReader(e.Body))
	}
	deprecated, _ := d.at(d.root, "paths", o.path, strings.ToLower(o.method))["deprecated"].(bool)
	if said := e.AnswerHeader.Get("Deprecation") != ""; said != deprecated { // RFC 9745
		faults = append(faults, fmt.Sprintf("%s: Deprecation stands in the answer: %v, and in the document: %v", what, said, deprecated))
	}
	if e.Method == http.MethodHead {
		if len(e.Answer) > 0 {
			faults = append(faults, what+" has a body")
		}
		return append(faults, d.headFaults(o, e)...)
	}
	response := &http.Response{
		StatusCode: e.Status, Header: e.AnswerHeader, Request: request,
		Body: io.NopCloser(bytes.NewReader(e.Answer)), ContentLength: int64(len(e.Answer)),
	}
	if ok, errs := d.answered.ValidateHttpResponse(request, response); !ok {
		faults = append(faults, what+" is not as described: "+words(errs))
	}
	return faults
}

// headFaults holds an answer without its body against the operation: its status
// is one of GET's, with the headers that GET has there.
func (d *document) headFaults(o operation, e exchange) []string {
	response := d.at(d.root, "paths", o.path, strings.ToLower(o.method), "responses", fmt.Sprint(e.Status))
	if response == nil {
		return []string{fmt.Sprintf("HEAD %.200s = %d, which GET does not have", e.Target, e.Status)}
	}
	var faults []string
	headers := d.at(response, "headers")
	for name := range headers {
		if required, _ := d.at(headers, name)["required"].(bool); required && e.AnswerHeader.Get(name) == "" {
			faults = append(faults, fmt.Sprintf("HEAD %.200s = %d has no %s", e.Target, e.Status, name))
		}
	}
	return faults
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
