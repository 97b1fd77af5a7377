package httpadapter

import (
	"html/template"
	"net/http"
	"strings"
	"time"
)

// view is what every template is given.
type view struct {
	Lang    string
	Dir     string // "ltr" or "rtl"
	Base    string // the way up to the mount
	Title   string // of the document
	Heading string // of the page
	Brand   string
	Look    Brand // of the host
	Nonce   string
	Product string
	Checks  *checks // while somebody develops
	Who     string  // who is signed in
	Tabs    []tabView
	Status  int

	Embedded bool // in the host's layout

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

// view makes what every page has.
func (p *page) view(q *pageCall, heading string, content any) view {
	product := p.h.config.Product
	if product == "" {
		product = p.text.say("layout.product")
	}
	v := view{
		Lang: p.text.language(), Dir: p.text.direction(), Base: q.base, Heading: heading, Product: product,
		Title:   p.text.say("layout.title", "Page", heading, "Product", product),
		Brand:   p.text.say("layout.brand", "Product", product),
		Look:    p.h.config.Brand,
		Checks:  p.h.checks(q.r),
		Who:     who(q.caller),
		Content: content, Status: http.StatusOK,
	}
	if nonce := p.h.config.Nonce; nonce != nil {
		v.Nonce = nonce(q.r)
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

// flashOf is where it is said what was done, by what it was done with.
var flashOf = map[string]string{"profile": "profile", "key": "keys", "token": "tokens"}

// flash says what the address says was done: a text of ours, on the tab it belongs
// to, of a provider that is there.
func (p *page) flash(q *pageCall, v *view) {
	query := q.r.URL.Query()
	what, id := query.Get("done"), query.Get("provider")
	kind, _, _ := strings.Cut(what, "-")
	if q.tab == "" || q.tab != flashOf[kind] || !p.text.has("done."+what) || q.r.Method == http.MethodPost {
		return
	}
	name := ""
	if kind == "token" && what != "token-deleted" {
		provider, ok := p.provider(id)
		if !ok {
			return
		}
		name = provider.Name
	}
	v.Flash = p.text.say("done."+what, "Provider", name)
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

// timeView is a moment or a day in the user's zone, as he reads it and as a machine
// does. Script makes a moment relative: it has a "T" in it.
type timeView struct{ Machine, Text string }

// when shows a moment that lies in the past or near; nil for none.
func (q *pageCall) when(t time.Time) *timeView {
	if t.IsZero() {
		return nil
	}
	return &timeView{Machine: t.UTC().Format(time.RFC3339), Text: q.text.moment(t.In(q.zone()))}
}

// until shows the last moment of something as its day; nil for none.
func (q *pageCall) until(t time.Time) *timeView {
	if t.IsZero() {
		return nil
	}
	last := t.Add(-time.Second).In(q.zone())
	return &timeView{Machine: last.Format(time.DateOnly), Text: q.text.day(last)}
}

func (q *pageCall) day(t time.Time) string { return q.text.day(t.In(q.zone())) }

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
	Tone string // "good", "warn", "bad" or ""
	Text string
}
