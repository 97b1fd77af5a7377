// Package catalog holds definitions of platforms as data, one YAML file each,
// and reads an organisation's own:
//
//	own, err := catalog.Load(os.DirFS("providers"))
//	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
//		Providers: append(catalog.All(), own...),
//	})
//
// An organisation proves its own in its CI: with [Lint], or "lanyard catalog
// lint DIR", and against a fake of its platform as package providertest has them.
//
// The names in YAML are those of [providertoken.Definition] in snake_case.
// Reading is strict: an unknown or doubled name, a value of a wrong type, an
// anchor or alias, and a definition that contradicts itself are errors that name
// file, line and column. Texts that look like numbers stand in quotes.
//
// Facts come from each platform's own documentation; what no source confirms
// is listed under "unconfirmed" in the file.
package catalog

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/aichub/lanyard/providertoken"
)

//go:embed *.yaml
var files embed.FS

// All returns the definitions of this package, ordered by id. They are the
// caller's own.
func All() []providertoken.Definition {
	all, err := Load(files)
	if err != nil {
		// The files are part of the program and every test reads them.
		panic("catalog: " + err.Error())
	}
	return all
}

// Load reads every file of fsys whose name ends in .yaml or .yml, below its
// root too, each with one definition. It returns them ordered by id, or all
// that is wrong, joined: an [*Error] each. [Lint] finds more.
func Load(fsys fs.FS) ([]providertoken.Definition, error) {
	read, err := readAll(fsys)
	if err != nil {
		return nil, err
	}
	var all []providertoken.Definition
	for _, r := range read {
		all = append(all, r.definition)
	}
	slices.SortFunc(all, func(a, b providertoken.Definition) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// document is one file with the definition in it.
type document struct {
	name       string
	file       *ast.File
	definition providertoken.Definition
}

// readAll returns the definitions that can be read and all that is wrong with
// the others, joined.
func readAll(fsys fs.FS) ([]document, error) {
	var (
		all  []document
		errs []error
		from = map[string]string{}
	)
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" && path.Ext(name) != ".yml" {
			return err
		}
		raw, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		d, file, err := parse(name, raw)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		if other, taken := from[d.ID]; taken {
			errs = append(errs, locate(name, file, "/id", fmt.Sprintf("the id %q stands in %s too", d.ID, other)))
			return nil
		}
		from[d.ID] = name
		all = append(all, document{name, file, d})
		return nil
	})
	return all, errors.Join(append(errs, err)...)
}

// Error says what is wrong in a file, and where. Line and Column count from 1;
// 0 is unknown.
type Error struct {
	File         string
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

func parse(name string, raw []byte) (d providertoken.Definition, file *ast.File, err error) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // what some editors put first
	if err := inUTF8(name, raw); err != nil {
		return d, nil, err
	}
	file, err = parser.ParseBytes(raw, 0)
	switch {
	case err != nil:
		return d, nil, syntaxError(name, err)
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		return d, nil, &Error{File: name, Line: 1, Column: 1, Message: "the file is empty"}
	case len(file.Docs) > 1:
		return d, nil, &Error{File: name, Line: startOf(file.Docs[1]), Column: 1, Message: "a file holds one definition"}
	}
	unverifiable := takeVerifyNone(file.Docs[0].Body)
	if errs := mistyped(name, file.Docs[0].Body, reflect.TypeFor[providertoken.Definition]()); len(errs) > 0 {
		return d, nil, errors.Join(errs...)
	}
	if err := yaml.NodeToValue(file.Docs[0].Body, &d, yaml.Strict()); err != nil {
		return d, nil, syntaxError(name, err)
	}
	d.Unverifiable = unverifiable
	if err := d.Validate(); err != nil {
		return d, nil, validationError(name, file, err)
	}
	return d, file, nil
}

// inUTF8 refuses a file in another encoding: its texts could be shown to nobody.
func inUTF8(name string, raw []byte) error {
	for number, line := range bytes.Split(raw, []byte("\n")) {
		if at := bytes.IndexFunc(line, func(r rune) bool { return r == utf8.RuneError }); at >= 0 && !utf8.Valid(line) {
			return &Error{File: name, Line: number + 1, Column: at + 1, Message: "the file is not in UTF-8"}
		}
	}
	return nil
}

// takeVerifyNone removes "verify: none" from a definition, and reports whether it
// was there.
func takeVerifyNone(body ast.Node) bool {
	mapping, ok := body.(*ast.MappingNode)
	if !ok {
		return false
	}
	for i, entry := range mapping.Values {
		if text, is := entry.Value.(*ast.StringNode); is && entry.Key.GetToken().Value == "verify" && text.Value == "none" {
			mapping.Values = slices.Delete(mapping.Values, i, i+1)
			return true
		}
	}
	return false
}

// startOf is the line a document begins at.
func startOf(d *ast.DocumentNode) int {
	if d.Start != nil {
		return d.Start.Position.Line
	}
	if d.Body != nil {
		return d.Body.GetToken().Position.Line
	}
	return 0
}

func syntaxError(name string, err error) error {
	e := &Error{File: name, Message: err.Error()}
	var at yaml.Error
	if errors.As(err, &at) {
		e.Message = at.GetMessage()
		if token := at.GetToken(); token != nil {
			e.Line, e.Column = token.Position.Line, token.Position.Column
		}
	}
	return e
}

// validationError gives each fault of a definition its place in the file.
func validationError(name string, file *ast.File, err error) error {
	var out []error
	for _, fault := range flatten(err) {
		var d *providertoken.DefinitionError
		if errors.As(fault, &d) {
			fault = locate(name, file, d.Path, strings.TrimPrefix(d.Path, "/")+": "+d.Message)
		}
		out = append(out, fault)
	}
	return errors.Join(out...)
}

func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// locate finds the place of a path such as "/methods/0/label", or of the
// nearest thing above it that is there: the definition itself at last.
func locate(name string, file *ast.File, at, message string) *Error {
	e := &Error{File: name, Message: message}
	for ; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
		p, err := yaml.PathString(yamlPath(at))
		if err != nil {
			continue
		}
		if node, err := p.FilterFile(file); err == nil && node != nil {
			position := node.GetToken().Position
			e.Line, e.Column = position.Line, position.Column
			return e
		}
	}
	e.Line, e.Column = startOf(file.Docs[0]), 1
	return e
}

// yamlPath turns "/methods/0/label" into "$.methods[0].label".
func yamlPath(at string) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, part := range strings.Split(strings.TrimPrefix(at, "/"), "/") {
		if _, err := strconv.Atoi(part); err == nil {
			b.WriteString("[" + part + "]")
		} else {
			b.WriteString(".'" + part + "'")
		}
	}
	return b.String()
}
