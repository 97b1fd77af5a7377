package httpadapter

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// operation is one operation of the API as its page shows it, in the words of
// the OpenAPI document.
type operation struct {
	ID          string // its operationId, and the last segment of its page's address
	Tag         string
	Method      string
	Path        string
	Summary     string
	Description []span
	ByKey       bool // API keys may call it here
	Parameters  []parameter
	Body        *payload
	Answer      payload // of success
	Problems    []refusal
}

// parameter is one parameter, or one member of a JSON object: nested ones have a
// path, as "fields.email".
type parameter struct {
	Name, Type string
	In         string // of a parameter: "path", "query" or "header"
	Required   bool
	Text       []span
}

// payload is a body.
type payload struct {
	Status  string // of an answer
	Types   []string
	Text    []span
	Members []parameter
	Example string // indented JSON, "" = none
}

// refusal is a problem that an operation may answer with.
type refusal struct {
	Status string
	Text   []span
}

// span is a part of a text; the document marks code with backticks.
type span struct {
	Code bool
	Text string
}

func spans(text string) (all []span) {
	for i, part := range strings.Split(strings.Join(strings.Fields(text), " "), "`") {
		if part != "" {
			all = append(all, span{Code: i%2 == 1, Text: part})
		}
	}
	return all
}

// loadReference returns those operations of an OpenAPI document that are among
// routes, in the document's order. keyRoutes are Config.KeyRoutes.
func loadReference(source []byte, routes []route, keyRoutes []string) ([]operation, error) {
	var document any
	if err := yaml.UnmarshalWithOptions(source, &document, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	root := node{root: document, value: document}
	var all []operation
	for path, methods := range root.at("paths").members {
		for method, described := range methods.members {
			method = strings.ToUpper(method)
			i := slices.IndexFunc(routes, func(r route) bool { return r.method == method && r.path == path })
			if i < 0 {
				continue
			}
			o := newOperation(method, path, described)
			o.ByKey = routes[i].anyKey || slices.Contains(keyRoutes, routes[i].name())
			all = append(all, o)
		}
	}
	return all, nil
}

func newOperation(method, path string, n node) operation {
	o := operation{
		ID: n.text("operationId"), Method: method, Path: path, Summary: n.text("summary"), Description: spans(n.text("description")),
	}
	for _, tag := range n.at("tags").items() {
		o.Tag = tag.string()
	}
	for _, p := range n.at("parameters").items() {
		o.Parameters = append(o.Parameters, parameter{
			Name: p.text("name"), In: p.text("in"), Type: typeOf(p.at("schema")),
			Required: p.at("required").value == true, Text: spans(p.text("description")),
		})
	}
	if body := n.at("requestBody"); body.value != nil {
		p := newPayload(body)
		o.Body = &p
	}
	for status, answer := range n.at("responses").members {
		if status < "400" {
			o.Answer = newPayload(answer)
			o.Answer.Status = status + " " + http.StatusText(number(status))
			continue
		}
		o.Problems = append(o.Problems, refusal{
			Status: status + " " + http.StatusText(number(status)), Text: spans(answer.text("description")),
		})
	}
	return o
}

// newPayload reads a request body or a response.
func newPayload(n node) payload {
	p := payload{Text: spans(n.text("description"))}
	for kind, content := range n.at("content").members {
		p.Types = append(p.Types, kind)
		if len(p.Types) > 1 {
			continue // the same in another wrapping
		}
		schema := content.at("schema")
		if len(p.Text) == 0 {
			p.Text = spans(schema.text("description"))
		}
		p.Members = membersOf(schema, "")
		if example := content.at("example"); example.value != nil {
			p.Example = indented(example.value)
		}
	}
	return p
}

// membersOf lists the members of an object with those of the objects in it.
func membersOf(schema node, prefix string) (all []parameter) {
	var required []string
	for _, name := range schema.at("required").items() {
		required = append(required, name.string())
	}
	for name, of := range schema.at("properties").members {
		all = append(all, parameter{
			Name: prefix + name, Type: typeOf(of), Required: slices.Contains(required, name), Text: spans(of.text("description")),
		})
		switch items := of.at("items"); {
		case of.at("properties").value != nil:
			all = append(all, membersOf(of, prefix+name+".")...)
		case items.at("properties").value != nil:
			all = append(all, membersOf(items, prefix+name+"[].")...)
		}
	}
	return all
}

// typeOf is the type of a schema in the words of JSON Schema.
func typeOf(schema node) string {
	var types []string
	for _, t := range schema.at("type").items() {
		types = append(types, t.string())
	}
	if len(types) == 0 {
		types = []string{schema.text("type")}
	}
	text := strings.Join(types, " or ")
	if format := schema.text("format"); format != "" && format != "int64" {
		text += " (" + format + ")"
	}
	if text == "array" {
		text += " of " + typeOf(schema.at("items"))
	}
	var choices []string
	for _, choice := range schema.at("enum").items() {
		choices = append(choices, choice.string())
	}
	if len(choices) > 0 && len(choices) < 10 {
		text += ": " + strings.Join(choices, ", ")
	}
	return text
}

func number(status string) (n int) {
	_, _ = fmt.Sscan(status, &n) // 0 has no text
	return n
}

// node is a place in the document. What is not there is a node without value,
// and a reference is what it leads to.
type node struct{ root, value any }

func (n node) at(key string) node {
	members, _ := n.value.(yaml.MapSlice)
	for _, m := range members {
		if m.Key == key {
			return node{n.root, m.Value}.resolved()
		}
	}
	return node{root: n.root}
}

// resolved follows a reference into the document itself, which is the only kind
// there is.
func (n node) resolved() node {
	members, _ := n.value.(yaml.MapSlice)
	if len(members) == 0 || members[0].Key != "$ref" {
		return n
	}
	to := node{n.root, n.root}
	for _, key := range strings.Split(strings.TrimPrefix(fmt.Sprint(members[0].Value), "#/"), "/") {
		to = to.at(key)
	}
	return to
}

// members is an iterator over an object, in the document's order.
func (n node) members(yield func(string, node) bool) {
	members, _ := n.value.(yaml.MapSlice)
	for _, m := range members {
		if !yield(fmt.Sprint(m.Key), node{n.root, m.Value}.resolved()) {
			return
		}
	}
}

func (n node) items() (all []node) {
	items, _ := n.value.([]any)
	for _, item := range items {
		all = append(all, node{n.root, item}.resolved())
	}
	return all
}

func (n node) string() string { return fmt.Sprint(n.value) }

func (n node) text(key string) string {
	text, _ := n.at(key).value.(string)
	return strings.TrimSpace(text)
}

// indented writes an example as JSON, its members in the document's order.
func indented(value any) string {
	var b strings.Builder
	writeIndented(&b, value, "")
	return b.String()
}

func writeIndented(b *strings.Builder, value any, indent string) {
	switch v := value.(type) {
	case yaml.MapSlice:
		if len(v) == 0 {
			b.WriteString("{}")
			return
		}
		for i, m := range v {
			b.WriteString(map[bool]string{true: "{\n", false: ",\n"}[i == 0] + indent + "  ")
			writeIndented(b, fmt.Sprint(m.Key), "")
			b.WriteString(": ")
			writeIndented(b, m.Value, indent+"  ")
		}
		b.WriteString("\n" + indent + "}")
	case []any:
		if len(v) == 0 {
			b.WriteString("[]")
			return
		}
		for i, item := range v {
			b.WriteString(map[bool]string{true: "[\n", false: ",\n"}[i == 0] + indent + "  ")
			writeIndented(b, item, indent+"  ")
		}
		b.WriteString("\n" + indent + "]")
	default:
		text, err := json.Marshal(v)
		if err != nil {
			text = []byte("null") // of an example that is none
		}
		b.Write(text)
	}
}
