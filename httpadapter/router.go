package httpadapter

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// route is one operation of the API. There is no inner ServeMux: it would
// redirect without the prefix, answer 404 and 405 as text, and decode %2f into
// a path value.
type route struct {
	method string
	path   string // below api/v1, as "/api-keys/{id}"
	serve  func(h *Handler, c *call) (answer, error)

	// anyKey lets every API key in, whatever Config.KeyRoutes says.
	anyKey bool
	// proof asks for a session that meets Config.MaxAuthAge.
	proof bool
}

func (r route) name() string { return r.method + " " + r.path }

// apiRoutes are the operations of the services that are there.
func (h *Handler) apiRoutes() []route {
	routes := []route{
		{method: http.MethodGet, path: "/profile", serve: (*Handler).showProfile},
		{method: http.MethodPatch, path: "/profile", serve: (*Handler).updateProfile},
		{method: http.MethodGet, path: "/activity", serve: (*Handler).listActivity},
		{method: http.MethodGet, path: "/whoami", serve: (*Handler).whoAmI, anyKey: true},
		{method: http.MethodGet, path: "/meta", serve: (*Handler).showMeta},
		{method: http.MethodGet, path: "/openapi.json", serve: (*Handler).showSpec},
	}
	if h.config.APIKeys != nil {
		routes = append(routes,
			route{method: http.MethodGet, path: "/api-keys", serve: (*Handler).listKeys},
			route{method: http.MethodPost, path: "/api-keys", serve: (*Handler).createKey, proof: true},
			route{method: http.MethodGet, path: "/api-keys/{id}", serve: (*Handler).showKey},
			route{method: http.MethodPatch, path: "/api-keys/{id}", serve: (*Handler).renameKey},
			route{method: http.MethodDelete, path: "/api-keys/{id}", serve: (*Handler).deleteKey, proof: true},
			route{method: http.MethodPost, path: "/api-keys/{id}/rotations", serve: (*Handler).rotateKey, proof: true},
		)
	}
	if h.config.ProviderTokens != nil {
		routes = append(routes,
			route{method: http.MethodGet, path: "/providers", serve: (*Handler).listProviders},
			route{method: http.MethodGet, path: "/provider-tokens", serve: (*Handler).listTokens},
			route{method: http.MethodPost, path: "/provider-tokens", serve: (*Handler).createToken, proof: true},
			route{method: http.MethodGet, path: "/provider-tokens/{id}", serve: (*Handler).showToken},
			route{method: http.MethodPatch, path: "/provider-tokens/{id}", serve: (*Handler).updateToken, proof: true},
			route{method: http.MethodDelete, path: "/provider-tokens/{id}", serve: (*Handler).deleteToken, proof: true},
			route{method: http.MethodPost, path: "/provider-tokens/{id}/verifications", serve: (*Handler).verifyToken},
		)
	}
	return routes
}

// match finds the route of a request. It returns codeNotFound, or
// codeMethodNotAllowed with what is allowed. HEAD is served by GET.
func match(routes []route, method, escapedPath string) (route, string, *problem) {
	path, ok := strings.CutPrefix(strings.TrimPrefix(escapedPath, "/"), "api/v1/")
	if !ok {
		return route{}, "", &problem{Code: codeNotFound}
	}
	segments := strings.Split(path, "/")
	var allowed []string
	for _, r := range routes {
		id, ok := matchPath(r.path, segments)
		if !ok {
			continue
		}
		if r.method == method || r.method == http.MethodGet && method == http.MethodHead {
			return r, id, nil
		}
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if allowed == nil {
		return route{}, "", &problem{Code: codeNotFound}
	}
	slices.Sort(allowed)
	return route{}, "", &problem{Code: codeMethodNotAllowed, Allow: strings.Join(allowed, ", ")}
}

// matchPath compares a pattern with the segments of an escaped path, and
// returns what stands for {id}. A literal matches only as it is written.
func matchPath(pattern string, segments []string) (id string, ok bool) {
	want := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	if len(want) != len(segments) {
		return "", false
	}
	for i, w := range want {
		if w != "{id}" {
			if w != segments[i] {
				return "", false
			}
			continue
		}
		var err error
		if id, err = url.PathUnescape(segments[i]); err != nil || !possibleID(id) {
			// No record can have it, so the path leads nowhere for a GET as
			// for any other method.
			id = ""
		}
	}
	return id, true
}

// possibleID reports whether a record can have this id: letters and digits, at
// most 64. The stores never see anything else.
func possibleID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
