package httpadapter

import (
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/aichub/lanyard"
)

// view is what every template is given.
type view struct {
	Lang    string
	Base    string // the way up to the mount
	Title   string // of the document
	Heading string // of the page
	Brand   string
	Product string
	Who     string // who is signed in
	Tabs    []tabView
	Status  int

	Flash      string // what was done just now
	FocusTitle bool   // after a deletion the heading takes the focus
	Errors     []errorView

	Content any

	Head, Body template.HTML // of the whole document
}

type tabView struct {
	Href, Text string
	Current    bool
}

// errorView is one line of the summary above a form.
type errorView struct {
	Field string // id of the input; "" = none
	Text  string
}

// view makes what every page has.
func (p *page) view(q *pageCall, heading string, content any) view {
	product := p.h.config.Product
	v := view{
		Lang: p.text.language, Base: q.base, Heading: heading, Product: product,
		Title:   p.text.say("layout.title", "Page", heading, "Product", product),
		Brand:   p.text.say("layout.brand"),
		Who:     who(q.caller),
		Content: content, Status: http.StatusOK,
	}
	for _, tab := range []struct {
		name, path string
		there      bool
	}{
		{"profile", "", true},
		{"keys", "api-keys", p.h.config.APIKeys != nil},
		{"tokens", "provider-tokens", p.h.config.ProviderTokens != nil},
		{"activity", "activity", true},
		{"docs", "docs", true},
	} {
		if tab.there {
			v.Tabs = append(v.Tabs, tabView{Href: q.base + tab.path, Text: p.text.say("tab." + tab.name), Current: q.tab == tab.name})
		}
	}
	p.flash(q, &v)
	return v
}

func who(c caller) string {
	if c.profile.Name != "" {
		return c.profile.Name
	}
	return c.Owner.Subject
}

// flash says what the address says was done. Only texts of ours can be named,
// and only providers that are there.
func (p *page) flash(q *pageCall, v *view) {
	query := q.r.URL.Query()
	what := query.Get("done")
	if what == "" || !p.text.has("done."+what) || q.r.Method == http.MethodPost {
		return
	}
	provider := ""
	if strings.HasPrefix(what, "token-") && p.h.config.ProviderTokens != nil {
		provider = p.providerName(query.Get("provider"))
	}
	v.Flash = p.text.say("done."+what, "Provider", provider)
	v.FocusTitle = strings.HasSuffix(what, "-deleted")
}

// refuse shows a form again with what was wrong.
func (p *page) refuse(q *pageCall, name string, v view, errs formErrors) error {
	v.Errors = errs.summary
	v.Title = p.text.say("layout.title_error", "Page", v.Title)
	v.Status = http.StatusUnprocessableEntity
	if errs.status != 0 {
		v.Status = errs.status
	}
	return p.render(q, name, v)
}

// timeView is a moment, absolute in the user's zone; script makes it relative.
type timeView struct {
	Machine  string
	Text     string
	Relative bool
}

// when shows a moment that lies in the past or near; nil for none.
func (q *pageCall) when(t time.Time) *timeView {
	if t.IsZero() {
		return nil
	}
	return &timeView{Machine: t.UTC().Format(time.RFC3339), Text: t.In(q.zone()).Format("2 Jan 2006, 15:04 MST"), Relative: true}
}

// until shows the last moment of something as its day; nil for none.
func (q *pageCall) until(t time.Time) *timeView {
	if t.IsZero() {
		return nil
	}
	return &timeView{Machine: t.UTC().Format(time.RFC3339), Text: q.day(t.Add(-time.Second))}
}

func (q *pageCall) day(t time.Time) string { return t.In(q.zone()).Format("2 Jan 2006") }

// zone is the user's, or UTC.
func (q *pageCall) zone() *time.Location {
	if name := q.caller.profile.ZoneInfo; name != "" && name != "Local" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone
		}
	}
	return time.UTC
}

// daysUntil counts the midnights of the user's zone before t.
func (q *pageCall) daysUntil(t, now time.Time) int {
	return int(midnight(t.In(q.zone())).Sub(midnight(now.In(q.zone()))).Round(24*time.Hour) / (24 * time.Hour))
}

func midnight(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// badge is a state in words, with a tone beside it.
type badge struct {
	Tone string // "ok", "warn", "bad" or ""
	Text string
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

// formErrors are what was wrong with a form: a summary, and the words at each
// field, the same ones.
type formErrors struct {
	summary []errorView
	status  int // 0 = 422
	byField map[string]string
}

func (e *formErrors) add(field, text string) {
	if e.byField == nil {
		e.byField = map[string]string{}
	}
	e.byField[field] = text
	e.summary = append(e.summary, errorView{Field: inputID(field), Text: text})
}

// say adds a line that belongs to no field.
func (e *formErrors) say(status int, text string) {
	e.status = status
	e.summary = append(e.summary, errorView{Text: text})
}

// inputID is the id of the input of an InputError's field.
func inputID(field string) string { return strings.ReplaceAll(field, "/", "-") }

// formErrors explains an error of a service to who filled the form in; labels
// name the fields of the form. It returns false for what is no business of
// his.
func (p *page) formErrors(err error, labels map[string]string) (formErrors, bool) {
	var out formErrors
	refused := problemOf(err)
	switch {
	case refused.Code == codeInvalidInput:
		for _, e := range inputErrors(err) {
			label, known := labels[e.Field]
			switch text := "error." + e.Code; {
			case known && p.text.has(text):
				out.add(e.Field, p.text.say(text, "Label", label))
			case known:
				out.add(e.Field, p.text.say("error.invalid", "Label", label))
			default:
				out.say(http.StatusUnprocessableEntity, p.text.say("error.form"))
			}
		}
	case refused.Code == codeStale:
		out.say(http.StatusPreconditionFailed, p.text.say("error.stale"))
	case refused.Code == codeConflict:
		out.say(http.StatusConflict, p.text.say("error.conflict"))
	case refused.Code == codeUnavailable:
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
	var one *lanyard.InputError
	if errors.As(err, &one) {
		return []*lanyard.InputError{one}
	}
	return nil
}
