package providertest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Account is who a token belongs to.
type Account struct {
	ID    string
	Name  string
	Email string

	// Scoped says, at Jira Cloud and Confluence Cloud, that the token was made
	// with scopes: it works at the gateway and not at the site.
	Scoped bool
}

// Tokens says whose each token is.
type Tokens map[string]Account

// Account looks a token up.
func (t Tokens) Account(token string) (Account, bool) {
	a, ok := t[token]
	return a, ok
}

// Lie is a way in which a platform answers something else than the truth.
type Lie string

// What any platform can do. "Its own way" is told where it has one; where it has
// none, a fake tells the nearest that a platform could.
const (
	Truth         Lie = ""
	SignInPage    Lie = "sign-in page"   // its own way: 203 at Azure DevOps, HTML elsewhere
	SingleSignOn  Lie = "single sign-on" // 200 with the form that leads to an identity provider
	Redirect      Lie = "redirect"       // 302 to a sign-in page
	HTMLPage      Lie = "html page"      // 200 with HTML
	Anonymous     Lie = "anonymous"      // 200 as nobody, its own way
	Nobody        Lie = "nobody"         // 200 with the right body, in which the account has no id, as Zendesk does
	Captcha       Lie = "captcha"        // at Jira: 200, and the header says that a human is needed
	LoginFailed   Lie = "login failed"   // at Jira: 200, and the header says that the token was not taken
	Expired       Lie = "expired"        // the token's end was reached, its own way
	Revoked       Lie = "revoked"        // its owner or an administrator ended it, its own way
	NoRight       Lie = "no right"       // recognised, but not allowed to read the account
	Unseen        Lie = "unseen"         // at Azure DevOps: recognised, and 404 for want of a right
	Busy          Lie = "busy"           // rate limited, its own way
	Broken        Lie = "broken"         // 500
	CutOff        Lie = "cut off"        // the body ends before its length
	NotJSON       Lie = "not json"       // 200, declared as JSON, and is none
	WrongType     Lie = "wrong type"     // the right body, declared as text
	NoIdentity    Lie = "no identity"    // 200 with JSON that names nobody
	Endless       Lie = "endless"        // a body larger than anybody reads
	Silent        Lie = "silent"         // no answer before the caller gives up
	Stalled       Lie = "stalled"        // the answer begins and does not end before the caller gives up
	Down          Lie = "down"           // 503 for maintenance, as nobody, its own way
	Missing       Lie = "missing"        // 404
	Unfit         Lie = "other product"  // 200 with the JSON of something else
	OldRelease    Lie = "old release"    // at ServiceNow: who am I is not there; the table of users tells the truth
	DroppedFilter Lie = "dropped filter" // at ServiceNow: an old release that drops the filter, and names somebody else
)

// Lies are all of them.
func Lies() []Lie {
	return []Lie{
		SignInPage, SingleSignOn, Redirect, HTMLPage, Anonymous, Nobody, Captcha, LoginFailed, Expired, Revoked, NoRight,
		Unseen, Busy, Broken, CutOff, NotJSON, WrongType, NoIdentity, Endless, Silent, Stalled, Down, Missing, Unfit,
		OldRelease, DroppedFilter,
	}
}

// Request is one request a Fake got.
type Request struct {
	Method string
	Path   string
	Query  string
	Host   string
	Header http.Header
}

// Fake is one platform. Make it with the function named after it, or with [New].
type Fake struct {
	accounts func(token string) (Account, bool)
	platform platform

	mu   sync.Mutex
	lie  Lie
	seen []Request
}

// Platform is how a platform of one's own says things. Token, WhoAmI and Tell
// are required.
type Platform struct {
	Token  func(r *http.Request) string                                    // the credential, as it was sent
	Method string                                                          // of the request that WhoAmI answers. Defaults to GET
	WhoAmI string                                                          // its path, below any base
	Tell   func(w http.ResponseWriter, a Account)                          // the truth
	Reject func(w http.ResponseWriter)                                     // of a token nobody has. Defaults to 401 without a body
	Lies   map[Lie]func(w http.ResponseWriter, r *http.Request, a Account) // its own ways, as far as they are known
}

// New returns a Fake of a platform that this package does not know. It tells the
// lies that any platform can.
func New(accounts func(token string) (Account, bool), p Platform) *Fake {
	inner := platform{token: p.Token, method: p.Method, whoami: p.WhoAmI, tell: p.Tell, reject: p.Reject, lies: map[Lie]answer{}}
	if inner.reject == nil {
		inner.reject = func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }
	}
	for lie, tell := range p.Lies {
		inner.lies[lie] = tell
	}
	return newFake(accounts, inner)
}

// answer writes one answer about an account.
type answer func(w http.ResponseWriter, r *http.Request, a Account)

// platform is how one platform says things.
type platform struct {
	token  func(*http.Request) string // the credential, as it was sent
	method string                     // of the probe; "" = GET
	whoami string                     // path of the probe, below any base
	tell   func(w http.ResponseWriter, a Account)
	reject func(w http.ResponseWriter)
	lies   map[Lie]answer

	gateway string                                                  // path of the base that scoped tokens work at
	open    map[string]func(w http.ResponseWriter, r *http.Request) // paths that ask for no credential
	data    map[string]answer                                       // further paths, below any base
}

func newFake(accounts func(string) (Account, bool), p platform) *Fake {
	return &Fake{accounts: accounts, platform: p}
}

// Tell makes the Fake answer with that lie from now on; Truth ends it.
func (f *Fake) Tell(lie Lie) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lie = lie
}

// Requests returns what the Fake was asked so far.
func (f *Fake) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// ServeHTTP implements [http.Handler].
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	lie := f.lie
	f.seen = append(f.seen, Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host, Header: r.Header.Clone(),
	})
	f.mu.Unlock()

	p := f.platform
	if open, ok := p.open[r.URL.Path]; ok {
		open(w, r)
		return
	}
	account, known := f.accounts(p.token(r))
	atGateway := p.gateway != "" && strings.HasPrefix(r.URL.Path, p.gateway)
	switch {
	case lie != Truth:
		if own, ok := p.lies[lie]; ok {
			own(w, r, account)
			return
		}
		f.commonLie(w, r, lie, account)
	case !known || account.Scoped != atGateway:
		p.reject(w)
	default:
		f.truth(w, r, account)
	}
}

// truth answers who is known.
func (f *Fake) truth(w http.ResponseWriter, r *http.Request, a Account) {
	p := f.platform
	if below(r, p.whoami) && (p.method == "" || r.Method == p.method) {
		p.tell(w, a)
		return
	}
	for path, data := range p.data {
		if below(r, path) {
			data(w, r, a)
			return
		}
	}
	writeJSON(w, http.StatusNotFound, map[string]string{"message": "not found"})
}

// below reports whether a request is for that path of whatever base.
func below(r *http.Request, path string) bool { return strings.HasSuffix(r.URL.Path, path) }

// commonLie is how a platform without a way of its own does it.
func (f *Fake) commonLie(w http.ResponseWriter, r *http.Request, lie Lie, a Account) {
	switch lie {
	case Redirect:
		w.Header().Set("Location", "/login")
		w.WriteHeader(http.StatusFound)
	case SignInPage, HTMLPage:
		writeHTML(w, http.StatusOK, "<title>Sign in</title>")
	case SingleSignOn:
		writeHTML(w, http.StatusOK, `<body onload="document.forms[0].submit()"><form method="post" action="https://idp.example/saml">`)
	case Expired, Revoked:
		f.platform.reject(w)
	case Nobody:
		f.platform.tell(w, Account{Name: "Anonymous user", Email: "invalid@example.com"})
	case NoRight:
		writeJSON(w, http.StatusForbidden, map[string]string{"message": "forbidden"})
	case Busy:
		w.Header().Set("Retry-After", "60")
		writeJSON(w, http.StatusTooManyRequests, map[string]string{"message": "slow down"})
	case Broken:
		writeHTML(w, http.StatusInternalServerError, "<title>Error</title>")
	case CutOff:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"id":`))
	case NotJSON:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id": 1} trailing`))
	case WrongType:
		plain := &retyped{ResponseWriter: w}
		f.platform.tell(plain, a)
	case NoIdentity, Unfit, Anonymous, Captcha, LoginFailed:
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	case Endless:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"x":"`))
		chunk := []byte(strings.Repeat("x", 64<<10))
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	case Silent:
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // or the server would answer 200, and a caller in the act of leaving might hear it
	case Stalled:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // or the server would end the answer as if it were whole
	case Down:
		writeHTML(w, http.StatusServiceUnavailable, "<title>Down for maintenance</title>")
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "not found"})
	}
}

// retyped declares whatever is written as text.
type retyped struct{ http.ResponseWriter }

func (w *retyped) WriteHeader(status int) {
	w.Header().Set("Content-Type", "text/plain")
	w.ResponseWriter.WriteHeader(status)
}

// idOf is an account's id as JSON has it: null for nobody.
func idOf(a Account) any {
	if a.ID == "" {
		return nil
	}
	return a.ID
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func writeHTML(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<!doctype html>" + text))
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// password returns the password of Basic credentials.
func password(r *http.Request) string {
	_, p, _ := r.BasicAuth()
	return p
}
