package httpadapter

import (
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aichub/lanyard"
)

// readForm reads what a form posts, and nothing else. It takes each of the
// fields once and refuses all others, so that nobody believes that "owner" did
// something. A name that ends in "/" stands for all that begin with it, one
// that ends in "[]" may come several times.
func (q *pageCall) readForm(fields []string) *problem {
	kinds := q.r.Header.Values("Content-Type")
	bare := len(kinds) == 0 && q.r.ContentLength == 0
	if !bare {
		kind, _, err := mime.ParseMediaType(strings.Join(kinds, ", "))
		if err != nil || kind != "application/x-www-form-urlencoded" {
			return &problem{Code: codeUnsupportedType}
		}
	}
	q.r.Body = http.MaxBytesReader(q.w, q.r.Body, maxBody)
	if err := q.r.ParseForm(); err != nil {
		refused := problemOf(err)
		if refused.Code != codeTooLarge {
			refused = problem{Code: codeMalformed}
		}
		return &refused
	}
	q.form = q.r.PostForm
	for name, values := range q.form {
		if !takes(fields, name, len(values)) || slices.ContainsFunc(values, notText) {
			return &problem{Code: codeMalformed}
		}
	}
	return nil
}

func takes(fields []string, name string, times int) bool {
	return slices.ContainsFunc(fields, func(field string) bool {
		if many, ok := strings.CutSuffix(field, "[]"); ok {
			return name == many
		}
		return times == 1 && (name == field || strings.HasSuffix(field, "/") && strings.HasPrefix(name, field))
	})
}

// notText reports what no browser sends and no page could show again.
func notText(s string) bool { return !utf8.ValidString(s) }

// version is the version that a form was made from.
func (q *pageCall) version() (int64, error) {
	v, err := strconv.ParseInt(q.form.Get("version"), 10, 64)
	if err != nil || v < 1 {
		return 0, errProblem{problem{Code: codeMalformed}}
	}
	return v, nil
}

// staleForm turns a lost compare-and-swap into a 412: a form always names the
// version it was made from.
func staleForm(err error) error {
	if problemOf(err).Code == codeConflict {
		return errStale
	}
	return err
}

// input is one labelled input.
type input struct {
	ID, Name, Label, Type, Value string
	Hint, Error                  string
	Autocomplete, Placeholder    string
	Min, Suffix                  string
	Optional, Required, Focus    bool
	Secret                       bool // its value is never written
	Guard                        bool // keeps password managers and spell checkers away
}

// DescribedBy lists the ids of what describes the input.
func (i input) DescribedBy() string {
	var ids []string
	if i.Hint != "" {
		ids = append(ids, i.ID+"-hint")
	}
	if i.Error != "" {
		ids = append(ids, i.ID+"-error")
	}
	if i.Suffix != "" {
		ids = append(ids, i.ID+"-suffix")
	}
	return strings.Join(ids, " ")
}

// errorView is one line of the summary above a form.
type errorView struct {
	Field string // id of the input; "" = none
	Text  string
}

// formErrors are what was wrong with a form: a summary, and the words at each
// field, the same ones. The zero value says that nothing was.
type formErrors struct {
	summary []errorView
	status  int // 0 = 422
	byField map[string]string
}

// add says what is wrong with a field. Its input's id is the field's name with
// dashes.
func (e *formErrors) add(field, text string) { e.addAt(field, inputID(field), text) }

// addAt is add for a field whose input has another id.
func (e *formErrors) addAt(field, id, text string) {
	if e.byField == nil {
		e.byField = map[string]string{}
	}
	e.byField[field] = text
	e.summary = append(e.summary, errorView{Field: id, Text: text})
}

// say adds a line that belongs to no field.
func (e *formErrors) say(status int, text string) {
	e.status = status
	e.summary = append(e.summary, errorView{Text: text})
}

// inputID is the id of the input of an InputError's field.
func inputID(field string) string { return strings.ReplaceAll(field, "/", "-") }

// formField is an input of a form as its errors speak of it.
type formField struct {
	label string
	id    string // of the element to go to; "" = inputID of the name
}

// formErrors explains an error of a service to who filled the form in; fields
// are those of the form. It returns false for what is no business of his.
func (p *page) formErrors(err error, fields map[string]formField) (formErrors, bool) {
	var out formErrors
	refused := problemOf(err)
	switch refused.Code {
	case codeInvalidInput:
		for _, e := range inputErrors(err) {
			f, known := fields[e.Field]
			if !known {
				out.say(http.StatusUnprocessableEntity, p.text.say("error.form"))
				continue
			}
			text := "error." + e.Code
			if !p.text.has(text) {
				text = "error." + lanyard.CodeInvalid
			}
			id := f.id
			if id == "" {
				id = inputID(e.Field)
			}
			out.addAt(e.Field, id, p.text.say(text, "Label", f.label))
		}
	case codeStale:
		out.say(http.StatusPreconditionFailed, p.text.say("error.stale"))
	case codeConflict:
		out.say(http.StatusConflict, p.text.say("error.conflict"))
	case codeUnavailable:
		out.say(http.StatusServiceUnavailable, p.text.say("error.unavailable"))
	default:
		return out, false
	}
	return out, true
}

// inputErrors lists the InputErrors in err, which may be joined.
func inputErrors(err error) []*lanyard.InputError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*lanyard.InputError
		for _, e := range joined.Unwrap() {
			all = append(all, inputErrors(e)...)
		}
		return all
	}
	if one, ok := err.(*lanyard.InputError); ok { //nolint:errorlint // the chain is walked here, for all that is joined in it
		return []*lanyard.InputError{one}
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inputErrors(inner)
	}
	return nil
}
