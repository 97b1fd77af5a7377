package httpadapter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/providertoken"
)

// problemDocs is where each problem type is explained; the code follows.
const problemDocs = "https://github.com/aichub/lanyard/blob/main/docs/reference/problems.md#"

// The codes of problems. They are stable.
const (
	codeMalformed        = "malformed-request"
	codeUnauthenticated  = "unauthenticated"
	codeForbidden        = "forbidden"
	codeDeactivated      = "owner-deactivated"
	codeKeyNotAllowed    = "key-not-allowed"
	codeReauthenticate   = "reauthentication-required"
	codeCrossSite        = "cross-site-request"
	codeNotFound         = "not-found"
	codeMethodNotAllowed = "method-not-allowed"
	codeConflict         = "conflict"
	codeExists           = "exists"
	codeLimitReached     = "limit-reached"
	codeStale            = "stale"
	codeTooLarge         = "too-large"
	codeUnsupportedType  = "unsupported-media-type"
	codeInvalidInput     = "invalid-input"
	codeLooksLikeOther   = providertoken.CodeLooksLikeOther
	codeIdempotency      = "idempotency-key-reused"
	codeTooManyRequests  = "too-many-requests"
	codeUnavailable      = "unavailable"
	codeInternal         = "internal-error"

	// Of a Proxy.
	codeNeedsAttention      = "needs-attention"
	codeNotOffered          = "not-offered"
	codePlatformUnreachable = "platform-unreachable"
	codePlatformUnreadable  = "platform-unreadable"
)

// problemTypes gives each code its status and its title.
var problemTypes = map[string]struct {
	status int
	title  string
}{
	codeMalformed:        {http.StatusBadRequest, "The request is malformed."},
	codeUnauthenticated:  {http.StatusUnauthorized, "Sign in, or send a valid API key."},
	codeForbidden:        {http.StatusForbidden, "This is not allowed."},
	codeDeactivated:      {http.StatusForbidden, "This account is deactivated."},
	codeKeyNotAllowed:    {http.StatusForbidden, "An API key may not do this."},
	codeReauthenticate:   {http.StatusForbidden, "Sign in again to do this."},
	codeCrossSite:        {http.StatusForbidden, "The request comes from another site."},
	codeNotFound:         {http.StatusNotFound, "There is no such thing."},
	codeMethodNotAllowed: {http.StatusMethodNotAllowed, "The method is not allowed here."},
	codeConflict:         {http.StatusConflict, "The request conflicts with the current state."},
	codeExists:           {http.StatusConflict, "It exists already."},
	codeLimitReached:     {http.StatusConflict, "The limit is reached."},
	codeStale:            {http.StatusPreconditionFailed, "It was changed meanwhile."},
	codeTooLarge:         {http.StatusRequestEntityTooLarge, "The request is too large."},
	codeUnsupportedType:  {http.StatusUnsupportedMediaType, "The body must be JSON."},
	codeInvalidInput:     {http.StatusUnprocessableEntity, "Some input was refused."},
	codeLooksLikeOther:   {http.StatusUnprocessableEntity, "The secret looks like another platform's."},
	codeIdempotency:      {http.StatusUnprocessableEntity, "The idempotency key was used for another request."},
	codeTooManyRequests:  {http.StatusTooManyRequests, "Too many requests."},
	codeUnavailable:      {http.StatusServiceUnavailable, "The service cannot answer now."},
	codeInternal:         {http.StatusInternalServerError, "Something went wrong on our side."},

	codeNeedsAttention:      {http.StatusConflict, "The credential does not work any more; its owner has to renew it."},
	codeNotOffered:          {http.StatusConflict, "The provider is not offered any more."},
	codePlatformUnreachable: {http.StatusBadGateway, "The platform gave no answer."},
	codePlatformUnreadable:  {http.StatusBadGateway, "The platform's answer cannot be passed on."},
}

// problem is one error answer, the same for the API and the page.
type problem struct {
	Code       string
	Title      string        // in the caller's language; "" = in English
	Detail     string        // of ours, never of a lower layer
	Errors     []fieldError  // with 422
	RetryAfter time.Duration // with 429 and 503
	LoginURL   string        // with 401
	Allow      string        // with 405

	Token       string   // with codeLooksLikeOther: what the secret looks like
	ProviderIDs []string // and which of the providers here take it
}

// fieldError says what is wrong with one input.
type fieldError struct {
	Pointer string `json:"pointer"` // RFC 6901, into the request's body
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// status is the HTTP status of the problem.
func (p problem) status() int {
	if t, ok := problemTypes[p.Code]; ok {
		return t.status
	}
	return http.StatusUnprocessableEntity // a verdict
}

// title says the problem in a few words: in the caller's language where a
// Handler answers, else in English.
func (p problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	if t, ok := problemTypes[p.Code]; ok {
		return t.title
	}
	return "The platform did not prove the credential."
}

// errProblem is a problem that travels as an error.
type errProblem struct{ problem } //nolint:errname // a problem first, and an error for the way

func (e errProblem) Error() string { return e.Code + ": " + e.Detail }

// problemOf says which problem an error is. What it does not know is an
// internal error without a detail.
func problemOf(err error) problem {
	var (
		ready    errProblem
		input    *lanyard.InputError
		other    *providertoken.OtherPlatformError
		verified *providertoken.VerificationError
		tooLarge *http.MaxBytesError
		rate     *apikey.RateLimitError
	)
	switch {
	case errors.As(err, &ready):
		return ready.problem
	case errors.As(err, &verified):
		return problem{Code: string(verified.Verdict), Errors: []fieldError{{
			Code: string(verified.Verdict), Detail: verdictDetail(verified),
		}}}
	case errors.As(err, &other):
		return problem{Code: codeLooksLikeOther, Errors: fieldErrors(err), Token: other.Token, ProviderIDs: other.Providers}
	case errors.As(err, &input):
		return problem{Code: codeInvalidInput, Errors: fieldErrors(err)}
	case errors.As(err, &tooLarge):
		return problem{Code: codeTooLarge}
	case errors.As(err, &rate):
		return problem{Code: codeTooManyRequests, RetryAfter: rate.RetryAfter}
	case errors.Is(err, errTwoAuthorizations):
		return problem{Code: codeMalformed, Detail: errTwoAuthorizations.Error()}
	case errors.Is(err, apikey.ErrIdempotencyMismatch):
		return problem{Code: codeIdempotency}
	case errors.Is(err, providertoken.ErrSecretLost):
		return problem{Code: codeNeedsAttention, Detail: "a stored secret does not open any more; its owner has to send it again"}
	case errors.Is(err, lanyard.ErrUnavailable), errors.Is(err, lanyard.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem{Code: codeUnavailable, RetryAfter: time.Second}
	case errors.Is(err, lanyard.ErrUnauthenticated):
		return problem{Code: codeUnauthenticated}
	case errors.Is(err, lanyard.ErrDeactivated):
		return problem{Code: codeDeactivated}
	case errors.Is(err, lanyard.ErrForbidden):
		return problem{Code: codeForbidden}
	case errors.Is(err, lanyard.ErrNotFound):
		return problem{Code: codeNotFound}
	case errors.Is(err, lanyard.ErrExists):
		return problem{Code: codeExists}
	case errors.Is(err, lanyard.ErrLimit):
		return problem{Code: codeLimitReached}
	case errors.Is(err, lanyard.ErrConflict):
		return problem{Code: codeConflict}
	}
	return problem{Code: codeInternal}
}

// verdictDetail says a verdict in words, with the reason's stable code.
func verdictDetail(e *providertoken.VerificationError) string {
	switch e.Reason {
	case "not_verifiable":
		return "the platform cannot say whose a credential is; it is stored with allow_unverified only"
	case "identity_unknown":
		return "the platform answered, but did not say whose the credential is (identity_unknown)"
	}
	detail := map[providertoken.Verdict]string{
		providertoken.VerdictInvalid:           "the platform does not accept the credential",
		providertoken.VerdictExpired:           "the credential has expired",
		providertoken.VerdictInsufficientScope: "the credential lacks a right that is needed to prove it",
		providertoken.VerdictWrongInstance:     "there is no such instance of the platform",
		providertoken.VerdictRateLimited:       "the platform asks to try later",
		providertoken.VerdictUnreachable:       "the platform cannot be reached",
	}[e.Verdict]
	if e.Reason != "" {
		detail += " (" + e.Reason + ")"
	}
	return detail
}

// fieldErrors collects the InputErrors in err, which may be wrapped and joined.
func fieldErrors(err error) []fieldError {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *lanyard.InputError:
		return []fieldError{{Pointer: pointer(e.Field), Code: e.Code, Detail: e.Message}}
	case interface{ Unwrap() []error }:
		var all []fieldError
		for _, part := range e.Unwrap() {
			all = append(all, fieldErrors(part)...)
		}
		return all
	case interface{ Unwrap() error }:
		return fieldErrors(e.Unwrap())
	}
	return nil
}

// pointer makes a JSON pointer of an InputError's field.
func pointer(field string) string {
	if field == "" {
		return ""
	}
	return "/" + field
}

// problemBody is a problem as it is written (RFC 9457 section 3).
type problemBody struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Code      string       `json:"code"`
	Detail    string       `json:"detail,omitzero"`
	RequestID string       `json:"request_id,omitzero"`
	LoginURL  string       `json:"login_url,omitzero"`
	Errors    []fieldError `json:"errors,omitempty"`

	Token       string   `json:"token,omitzero"`
	ProviderIDs []string `json:"provider_ids,omitempty"`
}

// refuse writes p with its title in the language of who called. What is in
// Detail and Errors is for who writes the client, and stays in English.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, p problem) {
	t := h.languages.of(r)
	id := "api." + p.Code
	if _, ok := problemTypes[p.Code]; !ok {
		id = "api.verdict"
	}
	p.Title = t.say(id)
	t.speak(w.Header())
	writeProblem(w, r, p)
}

// writeProblem writes p as application/problem+json.
func writeProblem(w http.ResponseWriter, r *http.Request, p problem) {
	header := w.Header()
	p.setHeaders(header)
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Del("ETag")
	header.Del("Location")
	body, err := json.Marshal(problemBody{
		Type: problemDocs + p.Code, Title: p.title(), Status: p.status(), Code: p.Code, Detail: p.Detail,
		RequestID: lanyard.RequestFrom(r.Context()).ID, LoginURL: p.LoginURL, Errors: p.Errors,
		Token: p.Token, ProviderIDs: p.ProviderIDs,
	})
	if err != nil {
		body = fmt.Appendf(nil, `{"status":%d}`, p.status())
	}
	w.WriteHeader(p.status())
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) //nolint:gosec // JSON, declared as such and not to be sniffed
	}
}

// setHeaders sets what the status asks for, the same on the page.
func (p problem) setHeaders(header http.Header) {
	switch p.status() {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer") // RFC 6750 section 3
	case http.StatusMethodNotAllowed:
		header.Set("Allow", p.Allow)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set("Retry-After", strconv.Itoa(max(1, int((p.RetryAfter+time.Second-1)/time.Second))))
	}
}
