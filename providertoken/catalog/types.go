package catalog

import (
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// dateLayouts are the ways to write a time in a definition.
var dateLayouts = []string{time.DateOnly, time.RFC3339}

// mistyped reports every value whose YAML type is not that of its field. The
// decoder alone is too kind: it reads "200" and 200.5 as the number 200 and a
// date it does not understand as none. Names it does not know are left to it.
func mistyped(name string, node ast.Node, t reflect.Type) []error {
	fail := func(message string) []error {
		e := &Error{File: name, Message: message}
		if token := node.GetToken(); token != nil {
			e.Line, e.Column = token.Position.Line, token.Position.Column
		}
		return []error{e}
	}
	switch n := node.(type) {
	case *ast.NullNode:
		return nil
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		return fail("anchors, aliases and tags have no place in a definition")
	case *ast.MappingValueNode: // a mapping of one
		return mistypedEntry(name, n, t)
	case *ast.MappingNode:
		var errs []error
		for _, entry := range n.Values {
			errs = append(errs, mistypedEntry(name, entry, t)...)
		}
		return errs
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice {
			return fail("a list where there is none")
		}
		var errs []error
		for _, value := range n.Values {
			errs = append(errs, mistyped(name, value, t.Elem())...)
		}
		return errs
	}
	if want := scalar(node, t); want != "" {
		return fail("this has to be " + want)
	}
	return nil
}

func mistypedEntry(name string, entry *ast.MappingValueNode, t reflect.Type) []error {
	at := entry.Key.GetToken().Position
	if _, merge := entry.Key.(*ast.MergeKeyNode); merge {
		return []error{&Error{File: name, Line: at.Line, Column: at.Column, Message: "merge keys have no place in a definition"}}
	}
	switch {
	case t.Kind() == reflect.Map:
		return mistyped(name, entry.Value, t.Elem())
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		for f := range t.Fields() {
			if f.IsExported() && entry.Key.GetToken().Value == yamlName(f) {
				return mistyped(name, entry.Value, f.Type)
			}
		}
		return nil
	}
	return []error{&Error{File: name, Line: at.Line, Column: at.Column, Message: "a mapping where there is none"}}
}

// yamlName is the name the decoder knows a field by.
func yamlName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" {
		return name
	}
	return strings.ToLower(f.Name)
}

// scalar returns what a value has to be instead, or "".
func scalar(node ast.Node, t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text, isText := "", false
	switch n := node.(type) {
	case *ast.StringNode:
		text, isText = n.Value, true
	case *ast.LiteralNode:
		text, isText = n.Value.Value, true
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		for _, layout := range dateLayouts {
			if _, err := time.Parse(layout, text); err == nil {
				return ""
			}
		}
		return "a date, as 2026-12-01, or a time by RFC 3339"
	case t == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(text); err != nil {
			return "a duration, as 8760h"
		}
	case t.Kind() == reflect.String && !isText:
		return "a text; put it in quotes"
	case t.Kind() == reflect.Int:
		if _, isNumber := node.(*ast.IntegerNode); !isNumber {
			return "a whole number"
		}
	case t.Kind() == reflect.Bool:
		if _, isBool := node.(*ast.BoolNode); !isBool {
			return "true or false"
		}
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Map, t.Kind() == reflect.Struct:
		return "a mapping"
	}
	return ""
}
