package lanyard

import (
	"strings"
	"unicode/utf8"
)

// Owner says whose record a record is.
//
// Tenant is the organisation, or the issuer where several identity providers
// meet; "" when there is one. Subject is stable inside the tenant: an OpenID
// Connect sub, or a name such as "svc:ci" for a service account. It is never
// an e-mail address, because people change those and addresses are given to
// somebody else.
//
// Owners are compared byte for byte; case matters.
type Owner struct {
	Tenant  string
	Subject string
}

// MaxOwnerLen is the longest Tenant and the longest Subject, in bytes.
// OpenID Connect Core 1.0 section 2 limits a sub to 255 ASCII characters.
const MaxOwnerLen = 255

// Validate reports whether o can own a record. It returns an [*InputError]
// with Field "owner" for an empty Subject, a part longer than [MaxOwnerLen]
// bytes, a NUL or invalid UTF-8.
func (o Owner) Validate() error {
	switch {
	case o.Subject == "":
		return &InputError{Field: "owner", Code: CodeRequired, Message: "the subject is empty"}
	case len(o.Subject) > MaxOwnerLen || len(o.Tenant) > MaxOwnerLen:
		return &InputError{Field: "owner", Code: CodeTooLong, Message: "tenant and subject have at most 255 bytes each"}
	case !cleanText(o.Tenant) || !cleanText(o.Subject):
		return &InputError{Field: "owner", Code: CodeInvalid, Message: "tenant and subject are UTF-8 without NUL"}
	}
	return nil
}

func cleanText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}
