// Package httpadapter serves lanyard over HTTP: one [http.Handler] with the
// page on which users keep their profile, API keys and provider tokens, and
// the JSON API under api/v1/ that says the same.
//
//	h, err := httpadapter.New(httpadapter.Config{
//		Identify: whoIs, Profiles: profiles, APIKeys: keys, ProviderTokens: tokens,
//	})
//	httpadapter.Mount(mux, "/account", h)
//	mux.Handle("/api/", httpadapter.RequireKey(keys, nil)(hostAPI))
//	httpadapter.Mount(mux, "/agents", httpadapter.Proxy(tokens, keys, nil))
//
// Every link is relative, so the handler never learns its prefix: Mount strips
// it, or the host does.
//
// # Who is calling
//
// A bearer token with one of our prefixes is an API key and nothing else is
// asked; every other request goes to Config.Identify. A key reaches /whoami
// and what Config.KeyRoutes opens.
//
// # Errors
//
// Under api/ every error is an application/problem+json document (RFC 9457),
// 404 and 405 included; the page answers the same statuses as HTML. No text of
// a lower layer and no value of a request ever reaches an answer.
//
// # Concurrency
//
// A Handler is safe for concurrent use and starts no goroutine.
package httpadapter
