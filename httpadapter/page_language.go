package httpadapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"

	"github.com/aichub/lanyard"
)

// languages are those the page is there in.
type languages struct {
	all     []*texts // English, which says what is asked for in no other way, first
	matcher language.Matcher
	chosen  func(*http.Request) string // Config.Language; nil = nobody chooses
}

// newLanguages reads our texts and then the host's, which replace ours one by
// one and may be of further languages.
func newLanguages(c Config) (*languages, error) {
	ours, err := readTextFiles(Texts())
	if err != nil {
		return nil, err
	}
	english := ours[language.English]
	files := maps.Clone(ours)
	if c.Texts != nil {
		theirs, err := readTextFiles(c.Texts)
		if err != nil {
			return nil, fmt.Errorf("Config.Texts: %w", err)
		}
		var errs []error
		for _, tag := range byName(theirs) {
			if err := theirs[tag].check(english); err != nil {
				errs = append(errs, inFile(tag, err)...)
				continue
			}
			all := maps.Clone(files[tag])
			if all == nil {
				all = textFile{}
				c.tellMissing(tag, theirs[tag], english)
			}
			maps.Copy(all, theirs[tag])
			files[tag] = all
		}
		if len(errs) > 0 {
			return nil, fmt.Errorf("Config.Texts: %w", errors.Join(errs...))
		}
	}
	l := &languages{chosen: c.Language}
	if err := l.add(files, ours); err != nil {
		return nil, err
	}
	return l, nil
}

// add makes the texts of each file. What a language of the host's lacks is said
// in the nearest one of ours: what pt-PT lacks in pt-BR, everything else in
// English.
func (l *languages) add(files, ours map[language.Tag]textFile) error {
	order := slices.Concat(byName(ours), byName(files))
	seen := map[language.Tag]*texts{}
	var near language.Matcher
	for i, tag := range order {
		if i == len(ours) {
			l.match()
			near = l.matcher
		}
		if seen[tag] != nil {
			continue
		}
		var fallback *texts
		if i > 0 {
			fallback = l.all[0]
		}
		if near != nil {
			if _, at, confidence := near.Match(tag); confidence >= language.High {
				fallback = l.all[at]
			}
		}
		t, err := files[tag].texts(tag, fallback)
		if err != nil {
			return fmt.Errorf("Config.Texts: %s.json: %w", tag, err)
		}
		seen[tag] = t
		l.all = append(l.all, t)
	}
	l.match()
	return nil
}

func (l *languages) match() {
	tags := make([]language.Tag, len(l.all))
	for i, t := range l.all {
		tags[i] = t.tag
	}
	l.matcher = language.NewMatcher(tags)
}

// byName orders languages, English first.
func byName(files map[language.Tag]textFile) []language.Tag {
	return slices.SortedFunc(maps.Keys(files), func(a, b language.Tag) int {
		switch language.English {
		case a:
			return -1
		case b:
			return 1
		}
		return strings.Compare(a.String(), b.String())
	})
}

// inFile says of each error in which file it is.
func inFile(tag language.Tag, err error) (errs []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{fmt.Errorf("%s.json: %w", tag, err)}
	}
	for _, one := range joined.Unwrap() {
		errs = append(errs, fmt.Errorf("%s.json: %w", tag, one))
	}
	return errs
}

// tellMissing logs which texts a language of the host's does not have. It is
// no error: a new release has new texts, and a host starts with it.
func (c Config) tellMissing(tag language.Tag, file, english textFile) {
	if base, _ := tag.Base(); base.String() == "en" || base.String() == "pt" {
		return // a variety of ours may differ in some texts alone
	}
	var missing []string
	for id := range english {
		if _, ok := file[id]; !ok {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		c.Logger.WarnContext(context.Background(), "texts are missing and will be in english",
			slog.String("language", tag.String()), slog.Int("count", len(missing)), slog.Any("ids", missing))
	}
}

// names lists the languages, by BCP 47.
func (l *languages) names() []string {
	var names []string
	for _, t := range l.all {
		names = append(names, t.language())
	}
	return names
}

// of returns the texts a request is answered in: the host's choice, else the
// profile's locale, else what the browser prefers, else English. A language
// that is not there leaves the choice to the next.
func (l *languages) of(r *http.Request) *texts { return l.all[l.index(r)] }

func (l *languages) index(r *http.Request) int {
	if l.chosen != nil {
		if i, ok := l.find(l.chosen(r)); ok {
			return i
		}
	}
	if who, known := lanyard.PrincipalFrom(r.Context()); known {
		if i, ok := l.find(who.Locale); ok {
			return i
		}
	}
	for _, name := range accepted(r.Header.Values("Accept-Language")) {
		if i, ok := l.find(name); ok {
			return i
		}
	}
	return 0
}

// find returns the language that readers of that one understand well: pt-BR
// for "pt", "pt-PT" and, as some identity providers write it, "pt_BR".
func (l *languages) find(name string) (int, bool) {
	if name == "" || len(name) > maxTag {
		return 0, false
	}
	tag, err := language.Parse(name)
	if err != nil || tag == language.Und {
		return 0, false
	}
	_, i, confidence := l.matcher.Match(tag)
	return i, confidence >= language.High
}

// maxTag is longer than any tag that makes sense, and maxAccepted than any list
// a browser sends.
const (
	maxTag      = 64
	maxAccepted = 32
)

// accepted returns the languages of Accept-Language (RFC 9110 section 12.5.4),
// the dearest first. What is malformed is passed over, and so is "*", which
// names none.
func accepted(headers []string) []string {
	type weighted struct {
		name   string
		weight float64
	}
	var all []weighted
	for part := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, parameter, has := strings.Cut(part, ";")
		w := weighted{strings.TrimSpace(name), 1}
		if has {
			key, value, _ := strings.Cut(parameter, "=")
			var err error
			if w.weight, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil || !strings.EqualFold(strings.TrimSpace(key), "q") {
				continue
			}
		}
		if w.name == "" || w.name == "*" || !(w.weight > 0 && w.weight <= 1) {
			continue
		}
		if all = append(all, w); len(all) == maxAccepted {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b weighted) int { return cmp.Compare(b.weight, a.weight) })
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = w.name
	}
	return names
}

// speak says in its headers which language an answer is in, and what it
// depends on.
func (t *texts) speak(header http.Header) {
	header.Set("Content-Language", t.language())
	header.Add("Vary", "Accept-Language")
}
