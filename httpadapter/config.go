package httpadapter

import (
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
)

// Config says what a [Handler] serves and for whom.
type Config struct {
	// Identify returns who is signed in at the host. An error that is
	// lanyard.ErrUnauthenticated answers 401 or leads to LoginURL; any other
	// answers 503. Required. Bearer tokens that look like our API keys never
	// reach it.
	Identify func(*http.Request) (lanyard.Principal, error)

	// Profiles serves the Profile tab, the activity and the state of owners.
	// Required.
	Profiles *profile.Service

	// APIKeys serves the API Keys tab. Nil leaves tab and routes out.
	APIKeys *apikey.Service

	// ProviderTokens serves the Provider Tokens tab. Nil leaves it out.
	ProviderTokens *providertoken.Service

	// KeyRoutes are what an API key may call besides GET /whoami, as method
	// and path below api/v1: "GET /profile", "GET /api-keys/{id}". A key that may
	// create or rotate keys gives none a scope that it lacks itself. Defaults to
	// none. New refuses one it does not know.
	KeyRoutes []string

	// ClientIP returns the caller's address for the history. Defaults to the
	// host part of RemoteAddr; a host behind a proxy reads its own header.
	ClientIP func(*http.Request) string

	// Limit is asked before each call of the API and each form; a positive
	// answer is 429 with that Retry-After. Creating and verifying provider
	// tokens makes outbound calls, so limit those. Defaults to no limit.
	Limit func(*http.Request, lanyard.Principal) time.Duration

	// MaxAuthAge is how long ago a user may have proved who he is
	// (Principal.AuthTime) to create, rotate or delete, and to change a
	// connection; older is 403 reauthentication-required. Zero, the default, and
	// a negative one ask for nothing.
	MaxAuthAge time.Duration

	// LoginURL is where a browser without a session is sent: a path from the
	// root, as the browser sees it, or an http or https address. Where its query
	// or fragment has {return}, as "/login?return={return}", the page that was
	// asked for stands there: its path below the mount. For the first one, and in
	// login_url of the API, that parameter is left out. Lead the browser back with
	// [ReturnPath]. Defaults to a plain 401 page.
	LoginURL string

	// TrustedOrigins may post to us although their origin differs, as
	// "https://hub.example.com" behind a proxy that rewrites Host.
	TrustedOrigins []string

	// Layout puts the page into the host's own. Defaults to a whole page of
	// ours. It is called once for each answer that is a page, errors included;
	// Content-Type, Content-Language, Vary and caching are set before, and it
	// may set more.
	Layout func(http.ResponseWriter, *http.Request, Page)

	// JSONOnly leaves the page and its assets out: what is not below api/v1/ is
	// a 404 in JSON. It is for a host that has a front end of its own.
	JSONOnly bool

	// Product is the host's name in titles and texts. Defaults to "this
	// application", in the language of the page.
	Product string

	// Language chooses the language of a request, as "pt-BR" (BCP 47). It is
	// asked first; then come the locale of the principal, as soon as it is known
	// who asks, and Accept-Language. "", or a language that there is not, leaves
	// the choice to them. Defaults to leaving it.
	Language func(*http.Request) string

	// Texts replaces words of the page and adds languages: in its root a file
	// <language>.json, as [Texts] has them, with as many of the texts as are to
	// be other. What a new language lacks is said in English, and logged. New
	// refuses a text that there is not, and one with other places to fill in
	// than the English one. Defaults to ours, which are en and pt-BR.
	Texts fs.FS

	// Brand is what else shows whose page it is. Defaults to nothing.
	Brand Brand

	// FrameAncestors may show the page in a frame, besides its own origin, as
	// "https://portal.example.com". Defaults to none. With a Layout the host's
	// Content-Security-Policy says it, and New refuses this.
	FrameAncestors []string

	// Nonce returns the nonce that the Content-Security-Policy of a request's
	// answer has; our style sheet and our script carry it then. It is for a
	// Layout, whose policy is the host's; without one New refuses it. Defaults
	// to none.
	Nonce func(*http.Request) string

	// Development has each page, and the log, say what is wrong with how the page
	// is mounted: a header that a proxy does not pass on, an origin that is not
	// trusted, an asset that is blocked. What they say holds Host, Origin and the
	// like of requests, also in the log, so leave it false where others use the
	// page. Browsers keep no assets meanwhile.
	Development bool

	// Docs are links shown on the Docs tab and in /meta.
	Docs []Link

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger defaults to discarding. Bodies, queries and header values are
	// never logged.
	Logger *slog.Logger
}

// Brand is how a page shows whose it is. All fields may be empty.
type Brand struct {
	// Home is where the link at the top leads, "Back to" and Product: a path from
	// the root, or an http or https address. Without it there is no link.
	Home string

	// Logo is the picture beside the name: a path from the root of the page's
	// origin, or a data address of an image.
	Logo string

	// StyleSheet is a path from the root of the page's origin. It is loaded after
	// ours and any rule in it wins: docs/reference/css.md has the variables to set.
	StyleSheet string
}

// Link is a link to documentation.
type Link struct {
	Title string
	URL   string
}

// Page is one rendered page, given to Config.Layout. The host must answer with
// Status, put Head into its head and Body into its main element, and owns the
// Content-Security-Policy.
type Page struct {
	Status int
	Title  string
	Lang   string // of the body, as "pt-BR"
	Dir    string // "ltr" or "rtl"
	Head   template.HTML
	Body   template.HTML
}
