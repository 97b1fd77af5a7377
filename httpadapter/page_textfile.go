package httpadapter

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// textFile is a file of texts in one language, as it was written: by id, and
// for each the plural forms, or one without a name.
type textFile map[string]map[string]string

const noForm = ""

// pluralForms are those of CLDR (Unicode Technical Standard 35, part 3, section
// 5).
var pluralForms = []string{"zero", "one", "two", "few", "many", "other"}

// isTextFile reports whether a file is named as texts are, and the language.
func isTextFile(name string) (bool, string) {
	tag, ok := strings.CutSuffix(name, ".json")
	return ok && !strings.Contains(name, "/"), tag
}

// readTextFiles returns the files of texts in the root of fsys by language.
func readTextFiles(fsys fs.FS) (map[language.Tag]textFile, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	all, errs := map[language.Tag]textFile{}, []error(nil)
	for _, entry := range entries {
		ok, name := isTextFile(entry.Name())
		if !ok {
			continue
		}
		tag, err := language.Parse(name)
		if err != nil || tag == language.Und {
			errs = append(errs, fmt.Errorf("%s: the name is no language of BCP 47", entry.Name()))
			continue
		}
		if _, twice := all[tag]; twice {
			errs = append(errs, fmt.Errorf("%s: there is another file for %s", entry.Name(), tag))
			continue
		}
		raw, err := fs.ReadFile(fsys, entry.Name())
		if err == nil {
			all[tag], err = parseTextFile(raw)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", entry.Name(), err))
		}
	}
	if len(all) == 0 && len(errs) == 0 {
		return nil, errors.New("there is no <language>.json")
	}
	return all, errors.Join(errs...)
}

// parseTextFile reads an object of texts; a text is a string or an object of
// plural forms.
func parseTextFile(raw []byte) (textFile, error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	file := textFile{}
	for id, value := range members {
		var text string
		var forms map[string]string
		if json.Unmarshal(value, &text) == nil && value.Kind() == '"' {
			file[id] = map[string]string{noForm: text}
		} else if json.Unmarshal(value, &forms) == nil && value.Kind() == '{' {
			file[id] = forms
		} else {
			return nil, fmt.Errorf("%q is neither a text nor an object of plural forms", id)
		}
	}
	return file, nil
}

// check reports what is wrong with a file beside the English one, which has
// every text: texts that nothing asks for, and places that are not filled in.
func (f textFile) check(english textFile) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(f)) {
		original, known := english[id]
		if !known {
			errs = append(errs, fmt.Errorf("%q: there is no such text", id))
			continue
		}
		if err := checkText(f[id], original); err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func checkText(forms, original map[string]string) error {
	want := map[string]bool{}
	for _, text := range original {
		places, err := placesOf(text)
		if err != nil {
			return err
		}
		maps.Copy(want, places)
	}
	if _, plain := forms[noForm]; !plain {
		if _, counted := original["other"]; !counted {
			return errors.New("it counts nothing, so it has no plural forms")
		}
		if _, ok := forms["other"]; !ok {
			return errors.New(`the form "other" is missing`)
		}
	}
	for form, text := range forms {
		if form != noForm && !slices.Contains(pluralForms, form) {
			return fmt.Errorf("%q is no plural form", form)
		}
		if strings.TrimSpace(text) == "" {
			return errors.New("it is empty")
		}
		places, err := placesOf(text)
		if err != nil {
			return err
		}
		for _, place := range slices.Sorted(maps.Keys(places)) {
			if !want[place] {
				return fmt.Errorf("nothing fills in %s", place)
			}
		}
		for _, place := range slices.Sorted(maps.Keys(want)) {
			// "one day" may do without the number.
			if !places[place] && (form == noForm || form == "other" || place != placeOf("N")) {
				return fmt.Errorf("%s is missing", place)
			}
		}
	}
	return nil
}

func placeOf(name string) string { return "{{." + name + "}}" }

// scriptPlace is filled in by lanyard.js.
var scriptPlace = regexp.MustCompile(`\{[a-z]+\}`)

// placesOf returns the places of a text that are filled in, as "{{.Name}}" and,
// for script, "{n}". Besides them a text may hold {{with .Name}}…{{end}}, which
// leaves out what has no name, and {{if .Name}}…{{else}}…{{end}}, whose question
// another language need not ask; nothing else.
func placesOf(text string) (map[string]bool, error) {
	trees, err := parse.Parse("text", text, "", "")
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: text:1: "))
	}
	places := map[string]bool{}
	if tree := trees["text"]; tree != nil && tree.Root != nil {
		err = walkPlaces(tree.Root, places, false)
	}
	return places, err
}

func walkPlaces(list *parse.ListNode, places map[string]bool, inside bool) error {
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			for _, place := range scriptPlace.FindAllString(string(n.Text), -1) {
				places[place] = true
			}
		case *parse.ActionNode:
			if inside && n.Pipe.String() == "." {
				continue
			}
			if err := walkField(n.Pipe, places); err != nil {
				return err
			}
		case *parse.WithNode:
			if n.ElseList != nil || inside {
				return fmt.Errorf("%s is more than a text may do", n)
			}
			if err := walkField(n.Pipe, places); err != nil {
				return err
			}
			if err := walkPlaces(n.List, places, true); err != nil {
				return err
			}
		case *parse.IfNode:
			if inside || !fieldPipe.MatchString(n.Pipe.String()) {
				return fmt.Errorf("%s is more than a text may do", n)
			}
			for _, list := range []*parse.ListNode{n.List, n.ElseList} {
				if list == nil {
					continue
				}
				if err := walkPlaces(list, places, false); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%s is more than a text may do", n)
		}
	}
	return nil
}

func walkField(pipe *parse.PipeNode, places map[string]bool) error {
	text := pipe.String()
	if !fieldPipe.MatchString(text) {
		return fmt.Errorf("{{%s}} is more than a text may do", text)
	}
	places["{{"+text+"}}"] = true
	return nil
}

var fieldPipe = regexp.MustCompile(`^\.[A-Za-z]+$`)

// counts are numbers that meet every plural form of every language.
func counts(yield func(int) bool) {
	for n := range 201 {
		if !yield(n) {
			return
		}
	}
	yield(1_000_000)
}

// texts makes the words of a file that was checked.
func (f textFile) texts(tag language.Tag, fallback *texts) (*texts, error) {
	bundle := i18n.NewBundle(tag)
	digits, err := tag.SetTypeForKey("nu", "latn")
	if err != nil {
		return nil, err
	}
	t := &texts{tag: tag, digits: digits, simple: map[string][]part{}, fallback: fallback}
	var counted []string
	for id, forms := range f {
		text, plain := forms[noForm]
		if parts, simple := partsOf(text); plain && simple && !strings.Contains(text, placeOf("N")) {
			t.simple[id] = parts
			continue
		}
		m := &i18n.Message{
			ID: id, Zero: forms["zero"], One: forms["one"], Two: forms["two"], Few: forms["few"], Many: forms["many"], Other: forms["other"],
		}
		if plain {
			// Without forms, all of them are this one.
			m.Zero, m.One, m.Two, m.Few, m.Many, m.Other = text, text, text, text, text, text
		} else {
			counted = append(counted, id)
		}
		if err := bundle.AddMessages(tag, m); err != nil {
			return nil, err
		}
	}
	t.localizer = i18n.NewLocalizer(bundle, tag.String())
	slices.Sort(counted)
	for _, id := range counted {
		for n := range counts {
			if _, err := t.findHere(id, []any{"N", n}); err != nil {
				return nil, fmt.Errorf("%q: there is no plural form for %d in %s", id, n, tag)
			}
		}
	}
	return t, nil
}
