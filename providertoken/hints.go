package providertoken

import (
	"regexp"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
)

// Hint says that a secret does not look like what was asked for. It refuses
// nothing by itself.
type Hint struct {
	Field string // as "secrets/api_token"
	Code  string // CodeLooksLikeOther or CodeOddShape

	// Token is what it looks like, as "GitHub token", and Providers are those
	// offered whose forms take it. Both are empty for CodeOddShape.
	Token     string
	Providers []string
}

// Hints compares secrets with the shapes of their fields and with those of
// every other definition: a token that was pasted into the wrong form is known
// before anything is sent. It asks nobody. Fields that the method does not have
// are passed over.
//
// Create and Update refuse what cannot be this platform's: a secret that has the
// shape of somebody else's tokens and none of its own field's. Where the field
// has no shapes, as a password, they take anything. Nor do they take a token that
// is known by its shape in the label or in a public field, which are shown.
func (s *Service) Hints(providerID, methodID string, secrets map[string]lanyard.Secret) []Hint {
	o, ok := s.byID[providerID]
	if !ok {
		return nil
	}
	if methodID == "" {
		methodID = o.def.Methods[0].ID
	}
	m, ok := o.methods[methodID]
	if !ok {
		return nil
	}
	var out []Hint
	for _, f := range m.Fields {
		secret, given := secrets[f.Name]
		if !given || f.isPublic() {
			continue
		}
		if hint, odd := s.hint(o, f, trimSecret(secret.Reveal())); odd {
			out = append(out, hint)
		}
	}
	return out
}

func (s *Service) hint(o *offer, f Field, text string) (Hint, bool) {
	if text == "" || o.fits(f, text) {
		return Hint{}, false
	}
	for _, other := range s.shapes {
		if other.definition != o.def.ID && other.pattern.MatchString(text) {
			return Hint{
				Field: "secrets/" + f.Name, Code: CodeLooksLikeOther, Token: other.token, Providers: s.takers(other.token, text),
			}, true
		}
	}
	return Hint{Field: "secrets/" + f.Name, Code: CodeOddShape}, len(f.Shapes) > 0
}

// fits reports whether a secret has a shape of its field, or one of another
// secret of the same definition: which of them it is will show.
func (o *offer) fits(f Field, text string) bool {
	for _, m := range o.def.Methods {
		for _, other := range m.Fields {
			for _, shape := range other.Shapes {
				pattern, err := regexp.Compile(shape.Pattern)
				if err == nil && (other.Name == f.Name || shape.Token != "") && pattern.MatchString(text) {
					return true
				}
			}
		}
	}
	return false
}

// takers returns the ids of what is offered for a token of that kind.
func (s *Service) takers(token, text string) []string {
	var ids []string
	for _, o := range s.offers {
		if slices.ContainsFunc(s.shapes, func(shape otherShape) bool {
			return shape.definition == o.def.ID && shape.token == token && shape.pattern.MatchString(text)
		}) {
			ids = append(ids, o.id)
		}
	}
	return ids
}

// otherShape is a shape by which a token is recognised anywhere.
type otherShape struct {
	pattern    *regexp.Regexp
	token      string
	definition string
}

// recognised returns the shapes that name their tokens, in the order of the
// definitions, whether these are offered or not.
func recognised(defs []Definition) []otherShape {
	var out []otherShape
	for _, d := range defs {
		for _, m := range d.Methods {
			for _, f := range m.Fields {
				for _, shape := range f.Shapes {
					if pattern, err := regexp.Compile(shape.Pattern); err == nil && shape.Token != "" {
						out = append(out, otherShape{pattern, shape.Token, d.ID})
					}
				}
			}
		}
	}
	return out
}

// OtherPlatformError says that a secret is another platform's, and was sent
// nowhere. It is an *lanyard.InputError with CodeLooksLikeOther.
type OtherPlatformError struct {
	Hint
	input error
}

func (e *OtherPlatformError) Error() string { return e.input.Error() }

// Unwrap returns the *lanyard.InputError.
func (e *OtherPlatformError) Unwrap() error { return e.input }

// refuseOthers refuses secrets that cannot be this platform's.
func (s *Service) refuseOthers(o *offer, m method, secrets map[string]string) []error {
	var errs []error
	for _, f := range m.Fields {
		text, given := secrets[f.Name]
		if !given || len(f.Shapes) == 0 {
			continue
		}
		if hint, _ := s.hint(o, f, text); hint.Code == CodeLooksLikeOther {
			errs = append(errs, &OtherPlatformError{hint, refuse(hint.Field, CodeLooksLikeOther, "this looks like another platform's: "+hint.Token)})
		}
	}
	return errs
}

// refuseOpen refuses a token, recognised by its shape, in what is stored and shown
// in the open.
func (s *Service) refuseOpen(m method, label string, fields map[string]string) []error {
	var errs []error
	look := func(at, text string) {
		for word := range strings.FieldsSeq(text) {
			word = strings.Trim(word, `"'()[]<>,;`)
			for _, shape := range s.shapes {
				if shape.pattern.MatchString(word) {
					errs = append(errs, refuse(at, CodeOpenSecret, "this is shown, and it looks like a token: "+shape.token))
					return
				}
			}
		}
	}
	look("label", label)
	for _, f := range m.Fields {
		look("fields/"+f.Name, fields[f.Name])
	}
	return errs
}
