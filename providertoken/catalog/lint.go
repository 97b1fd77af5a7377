package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aichub/lanyard/providertoken"
)

// Lint returns everything that [Load] refuses in the files of fsys, and what
// can be loaded but will not do what it seems to: by file and line, nil if there
// is nothing. Definitions are compared with those of this package, except for
// ones they replace by their id. What it finds besides:
//
//   - rules and probes that no answer reaches, and an accept that none fulfils
//     because a rule comes first;
//   - an accept that does not name its statuses, or one that is no success;
//   - a field that is named as a secret and is public, and a password whose method
//     does not say lockout;
//   - something like a secret in an address;
//   - a token that is recognised by a shape which another platform's have too;
//   - notices that are over at now;
//   - texts that a language of the file's translations lacks. Names need none.
//
// Whether a fact is true, and has its source in a comment, it cannot know.
func Lint(fsys fs.FS, now time.Time) []*Error {
	documents, err := readAll(fsys)
	l := &linter{now: now}
	l.collect(err)
	if err == nil && len(documents) == 0 {
		l.found = append(l.found, &Error{File: ".", Message: "there is no definition: no file's name ends in .yaml or .yml"})
	}
	known := All()
	known = slices.DeleteFunc(known, func(d providertoken.Definition) bool {
		return slices.ContainsFunc(documents, func(doc document) bool { return doc.definition.ID == d.ID })
	})
	for _, doc := range documents {
		known = append(known, doc.definition)
	}
	for _, doc := range documents {
		l.document = doc
		l.probes()
		l.methods()
		l.addresses()
		l.shapes(known)
		l.translations()
		for i, n := range doc.definition.Notices {
			if !n.Until.IsZero() && !n.Until.After(now) {
				l.fail(fmt.Sprintf("/notices/%d/until", i), "the notice is over")
			}
		}
	}
	slices.SortStableFunc(l.found, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return l.found
}

// linter collects what is wrong.
type linter struct {
	now      time.Time
	document document
	found    []*Error
}

func (l *linter) fail(at, message string) {
	l.found = append(l.found, locate(l.document.name, l.document.file, at, strings.TrimPrefix(at, "/")+": "+message))
}

// collect takes the faults out of what readAll returned.
func (l *linter) collect(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			l.collect(e)
		}
		return
	}
	var at *Error
	var file *fs.PathError
	switch {
	case err == nil:
	case errors.As(err, &at):
		l.found = append(l.found, at)
	case errors.As(err, &file):
		l.found = append(l.found, &Error{File: file.Path, Message: file.Err.Error()})
	default:
		l.found = append(l.found, &Error{File: ".", Message: err.Error()})
	}
}

func (l *linter) probes() {
	probes := l.document.definition.Verify
	for i, p := range probes {
		path := fmt.Sprintf("/verify/%d", i)
		if i > 0 && !slices.ContainsFunc(probes[i-1].Rules, func(r providertoken.Rule) bool { return r.Verdict == "next" }) {
			l.fail(path, "no rule of the probe before says next, so this one is never asked")
		}
		for j, r := range p.Rules {
			for k, earlier := range p.Rules[:j] {
				if implies(r.When, earlier.When) {
					l.fail(fmt.Sprintf("%s/rules/%d", path, j), fmt.Sprintf("no answer gets here: rule %d takes them all", k))
					break
				}
			}
			if implies(p.Accept, r.When) {
				l.fail(path+"/accept", fmt.Sprintf("nothing can be accepted: rule %d takes it first", j))
			}
		}
		if len(p.Accept.Status) == 0 {
			l.fail(path+"/accept", "which statuses are a proof has to be said: status: [200]")
		}
		for j, status := range p.Accept.Status {
			if status > 299 {
				l.fail(fmt.Sprintf("%s/accept/status/%d", path, j), "this is no success")
			}
		}
	}
}

// secretName is how secrets are called.
var secretName = regexp.MustCompile(`(?i)(^|_)(password|passwd|secret|token|pat|api_?key|private_?key)$`)

func (l *linter) methods() {
	for i, m := range l.document.definition.Methods {
		for j, f := range m.Fields {
			path := fmt.Sprintf("/methods/%d/fields/%d", i, j)
			public := f.Public || f.Origin
			if public && secretName.MatchString(f.Name) {
				l.fail(path, "it is called as secrets are, and public")
			}
			if !public && strings.Contains(f.Name, "password") && !m.Lockout {
				l.fail(path, "a wrong password may lock the account: lockout: true")
			}
		}
	}
}

// secretInQuery is a query that holds a secret, or will.
var secretInQuery = regexp.MustCompile(`(?i)[?&;][a-z0-9_.-]*(password|passwd|secret|token|api_?key|access_?key|signature)[a-z0-9_.-]*=`)

func (l *linter) addresses() {
	d := l.document.definition
	check := func(at, address string) {
		if secretInQuery.MatchString(address) {
			l.fail(at, "an address holds no secret: it stands in logs and histories")
		}
	}
	check("/docs_url", d.DocsURL)
	for i, a := range d.Instance.Alternatives {
		for j, f := range a.Discover {
			check(fmt.Sprintf("/instance/alternatives/%d/discover/%d/path", i, j), f.Path)
		}
	}
	for i, m := range d.Methods {
		check(fmt.Sprintf("/methods/%d/revoke/path", i), m.Revoke.Path)
		check(fmt.Sprintf("/methods/%d/revoke_url", i), m.RevokeURL)
	}
	for i, p := range d.Verify {
		check(fmt.Sprintf("/verify/%d/path", i), p.Path)
		check(fmt.Sprintf("/verify/%d/expiry/path", i), p.Expiry.Path)
	}
}

func (l *linter) translations() {
	d := l.document.definition
	for language, texts := range d.Translations {
		for _, text := range d.Texts() {
			if _, ok := texts[text]; !ok && text != d.Name {
				l.fail("/translations/"+language, fmt.Sprintf("there is no translation of %q", text))
			}
		}
	}
}

// shapes finds shapes that two platforms' tokens have, of which at least one is
// to be recognised by it.
func (l *linter) shapes(known []providertoken.Definition) {
	own := l.document.definition
	eachShape(own, func(at string, s providertoken.Shape) {
		for _, other := range known {
			if other.ID == own.ID {
				continue
			}
			eachShape(other, func(_ string, o providertoken.Shape) {
				if s.Token != o.Token && overlap(s.Pattern, o.Pattern) {
					l.fail(at, fmt.Sprintf("some have the shape of %s too: %s", other.ID, o.Pattern))
				}
			})
		}
	})
}

func eachShape(d providertoken.Definition, do func(at string, s providertoken.Shape)) {
	for i, m := range d.Methods {
		for j, f := range m.Fields {
			for k, s := range f.Shapes {
				do(fmt.Sprintf("/methods/%d/fields/%d/shapes/%d", i, j, k), s)
			}
		}
	}
}
