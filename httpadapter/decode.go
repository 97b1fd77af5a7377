package httpadapter

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/aichub/lanyard"
)

// maxBody is how large a request body may be, in bytes.
const maxBody = 64 << 10

// readBody returns the request's body: nothing, or one well-formed JSON
// document that is an object or null. It returns *http.MaxBytesError, or a
// problem: 415 for another media type, 400 for what is no such document.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, err
	case err != nil:
		return nil, malformed("the body could not be read")
	case len(body) == 0:
		return nil, nil
	case !jsonType(r):
		return nil, errProblem{problem{Code: codeUnsupportedType}}
	}
	return body, wellFormed(body)
}

// jsonType reports whether the body is declared as JSON in UTF-8, the only
// encoding JSON has (RFC 8259 section 8.1). Merge patches are JSON too.
func jsonType(r *http.Request) bool {
	values := r.Header.Values("Content-Type")
	if len(values) != 1 || r.Header.Get("Content-Encoding") != "" {
		return false
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil {
		return false
	}
	if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return kind == "application/json" || kind == "application/merge-patch+json" && r.Method == http.MethodPatch
}

// wellFormed refuses all that is not exactly one document (RFC 8259) with
// valid UTF-8 and no name twice, and tops other than an object and null.
func wellFormed(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	value, err := d.ReadValue()
	if err != nil {
		return malformed("the body is not one well-formed JSON document")
	}
	kind := value.Kind()
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return malformed("the body is not one well-formed JSON document")
	}
	if kind != '{' && kind != 'n' {
		return malformed("the body is neither an object nor null")
	}
	return nil
}

func malformed(detail string) error {
	return errProblem{problem{Code: codeMalformed, Detail: detail}}
}

// decode reads the call's body into a T, whose members are [member]s. An
// absent body is malformed, null is an empty object. What a member refuses is
// an *lanyard.InputError that names it. Besides those that nobody may write,
// shown are members of the answer that this request cannot.
func decode[T any](c *call, shown ...string) (T, error) {
	var v T
	if len(c.body) == 0 {
		return v, malformed("the body is empty")
	}
	err := json.Unmarshal(c.body, &v, json.RejectUnknownMembers(true))
	if err == nil {
		return v, nil
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return v, malformed("the body is not one well-formed JSON document")
	}
	if errors.Is(semantic.Err, json.ErrUnknownName) {
		return v, unknownMember(semantic.JSONPointer, shown)
	}
	return v, &lanyard.InputError{
		Field: field(semantic.JSONPointer), Code: lanyard.CodeInvalid, Message: "the value has another type or form",
	}
}

// readOnly are members of our answers that a request may not have.
var readOnly = map[string]bool{
	"id": true, "sub": true, "owner": true, "subject": true, "tenant": true, "user_id": true, "email": true,
	"email_verified": true, "hash": true, "hint": true, "mac": true, "secret": true, "status": true, "version": true,
	"created_at": true, "updated_at": true, "last_used_at": true, "rotated_from": true, "account": true, "origin": true,
	"verdict": true, "reason": true, "checked_at": true, "revoke_url": true,
}

// nameLike is what a member's name may look like to be repeated in an answer:
// a name we do not know may be a value that somebody put in the wrong place.
var nameLike = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,31}$`)

func unknownMember(at jsontext.Pointer, shown []string) error {
	name := at.LastToken()
	code, message := lanyard.CodeUnknown, "there is no such member"
	if readOnly[name] || slices.Contains(shown, name) {
		code, message = lanyard.CodeReadOnly, "the member cannot be written"
	}
	if !nameLike.MatchString(name) {
		at = at.Parent()
	}
	return &lanyard.InputError{Field: field(at), Code: code, Message: message}
}

// field makes the Field of an InputError from a pointer, leaving out tokens
// that may be values of the caller's.
func field(at jsontext.Pointer) string {
	var tokens []string
	for token := range at.Tokens() {
		if !nameLike.MatchString(token) {
			break
		}
		tokens = append(tokens, token)
	}
	return strings.Join(tokens, "/")
}

// member is a member of a request: absent, null, or a value.
type member[T any] struct {
	set   bool
	null  bool
	value T
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (m *member[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	m.set = true
	if d.PeekKind() == 'n' {
		m.null = true
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, &m.value)
}

// notNull refuses an explicit null.
func (m member[T]) notNull(name string) error {
	if m.null {
		return &lanyard.InputError{Field: name, Code: lanyard.CodeInvalid, Message: "null is not a value here"}
	}
	return nil
}

// inTime refuses the first instant of the year 1, which a service would take
// for no time at all.
func inTime(name string, m member[time.Time]) error {
	if m.set && !m.null && m.value.IsZero() {
		return &lanyard.InputError{Field: name, Code: lanyard.CodeInvalid, Message: "the time is not in the future"}
	}
	return nil
}

// required refuses an absent member and null.
func (m member[T]) required(name string) error {
	if !m.set || m.null {
		return &lanyard.InputError{Field: name, Code: lanyard.CodeRequired, Message: "the member is missing"}
	}
	return nil
}
