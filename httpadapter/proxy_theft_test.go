package httpadapter_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// catcher is a platform that notes which credentials arrive. It knows everybody.
type catcher struct {
	mu   sync.Mutex
	keys []string
}

func (c *catcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.keys = append(c.keys, r.Header.Get("X-Key"))
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id": 7}`)
}

func (c *catcher) caught() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys
}

// theft is a world with two platforms, of which one is a thief's, and the
// database behind it.
type theft struct {
	*apiWorld
	raw               *sql.DB
	good, evil        *catcher
	anas, bens, other string // connections: ana's and ben's at the good one, ana's at the thief's
	proxy             http.Handler
	keys              map[string]string // by who has it
}

// exec runs SQL behind everybody's back.
func (h *theft) exec(query string, args ...any) {
	h.t.Helper()
	res, err := h.raw.ExecContext(h.t.Context(), query, args...)
	mustAPI(h.t, err)
	if n, err := res.RowsAffected(); n != 1 || err != nil {
		h.t.Fatalf("%s changed %d rows, %v, want 1", query, n, err)
	}
}

const bensSecret = apiCanary + "-ben-5tGb9nHy"

func newTheft(t *testing.T, open func(testing.TB) (store.Store, *sql.DB)) *theft {
	t.Helper()
	h := &theft{good: &catcher{}, evil: &catcher{}, keys: map[string]string{}}
	instance := func(id string, platform http.Handler) providertoken.Instance {
		server, err := providertest.NewServer(platform)
		mustAPI(t, err)
		t.Cleanup(func() { _ = server.Close(context.WithoutCancel(t.Context())) })
		return providertoken.Instance{ID: id, Provider: "acme", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks()}
	}
	h.apiWorld = newAPIWorld(t, apiOptions{
		store: func(t testing.TB) store.Store {
			st, raw := open(t)
			h.raw = raw
			return st
		},
		keys: func(o *apikey.Options) { o.Scopes = append(o.Scopes, httpadapter.ScopeUseProviderTokens) },
		tokens: func(o *providertoken.Options) {
			o.Providers = append(o.Providers, providertoken.Definition{
				ID: "acme", Name: "Acme", Instance: providertoken.InstanceSpec{Mode: providertoken.ModeOperator},
				Methods: []providertoken.Method{{
					ID: "key", Label: "Key", Headers: map[string]string{"X-Key": "{key}", "X-Site": "{site}"},
					Fields: []providertoken.Field{{Name: "site", Label: "Site", Type: providertoken.TypeDNSLabel, Origin: true}, {Name: "key", Label: "Key"}},
					Revoke: providertoken.Revocation{Method: http.MethodPost, Path: "/revoke", Accept: providertoken.Condition{Status: []int{200}}},
				}},
				Verify: []providertoken.Probe{{Path: "/me", Identity: providertoken.Identity{ID: "id"}}},
			})
			o.Instances = append(o.Instances, instance("good", h.good), instance("evil", h.evil))
		},
	})
	connect := func(owner, provider, secret string) string {
		token, err := h.tokens.Create(t.Context(), ownerOf(owner), providertoken.CreateRequest{
			ProviderID: provider, Fields: map[string]string{"site": "acme"}, Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret(secret)},
		})
		mustAPI(t, err)
		return token.ID
	}
	h.anas, h.bens, h.other = connect(ana, "good", agentsSecret), connect(ben, "good", bensSecret), connect(ana, "evil", "known-to-the-thief")
	for _, who := range []string{ana, ben} {
		h.call(session(who), "GET", "/profile", "").is(200) // makes it
		_, h.keys[who] = h.newKey(who, httpadapter.ScopeUseProviderTokens)
	}
	h.proxy = httpadapter.Proxy(h.tokens, h.apiWorld.keys, nil)
	h.good.keys, h.evil.keys = nil, nil
	return h
}

// pressTest does all that makes a credential go somewhere.
func (h *theft) pressTest(who, id string) {
	h.t.Helper()
	if a := h.call(session(who), "POST", "/provider-tokens/"+id+"/verifications", ""); a.status == 200 && a.get("verdict") == "ok" {
		h.t.Errorf("%s pressed Test and was told that all is well", who)
	}
	h.call(session(who), "PATCH", "/provider-tokens/"+id, `{"fields":{"site":"acme"}}`)
	for _, provider := range []string{"good", "evil"} {
		c, err := h.tokens.Client(h.t.Context(), ownerOf(who), providertoken.Ref{Provider: provider}, nil)
		if err != nil {
			continue
		}
		token, err := h.tokens.Token(h.t.Context(), ownerOf(who), id)
		mustAPI(h.t, err)
		r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, token.Base+"/things", nil)
		mustAPI(h.t, err)
		if res, err := c.Do(r); err == nil {
			_ = res.Body.Close()
		}
	}
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, "/"+id+"/things", nil)
	r.Header.Set("Authorization", "Bearer "+h.keys[who])
	out := httptest.NewRecorder()
	h.proxy.ServeHTTP(out, r)
	if out.Code < 400 {
		h.t.Errorf("%s's agent got %d", who, out.Code)
	}
	// What a host does by itself, and what happens to a connection at last.
	h.mu.Lock()
	h.now = h.now.Add(30 * 24 * time.Hour)
	h.mu.Unlock()
	if n, err := h.tokens.Recheck(h.t.Context(), only{h.store, id}, nil); n != 1 || err != nil {
		h.t.Errorf("Recheck() = %d, %v, want 1", n, err)
	}
	mustAPI(h.t, h.tokens.Delete(h.t.Context(), ownerOf(who), id, 0))
}

// only is a store with one connection.
type only struct {
	store.Maintenance
	id string
}

func (o only) AllProviderTokens(ctx context.Context, after string, limit int) ([]store.ProviderToken, error) {
	rows, err := o.Maintenance.AllProviderTokens(ctx, after, limit)
	return slices.DeleteFunc(rows, func(row store.ProviderToken) bool { return row.ID != o.id }), err
}

// Changing where a connection leads, keeping the secret and pressing Test brings
// the secret nowhere: not by the API, not with the rights to write the table, and
// not with a row's ciphertext in another row.
func TestTwoStepTheft(t *testing.T) {
	t.Parallel()
	const byID = ` WHERE id = $1`
	refused := func(h *theft, body, pointer, code string) {
		h.t.Helper()
		before := h.dump()
		a := h.call(session(ana), "PATCH", "/provider-tokens/"+h.anas, body)
		if text := string(a.body); a.status != 422 || !strings.Contains(text, `"`+pointer+`"`) || !strings.Contains(text, `"`+code+`"`) {
			h.t.Errorf("PATCH %s = %d %s, want 422 with %s at %s", body, a.status, text, code, pointer)
		}
		h.unchanged(before, body)
	}
	for name, steal := range map[string]func(h *theft) (who, id string){
		"the API, another address": func(h *theft) (string, string) {
			refused(h, `{"fields":{"site":"evil"}}`, "/secrets/key", "secret-required")
			return "", ""
		},
		"the API, a masked secret": func(h *theft) (string, string) {
			refused(h, `{"fields":{"site":"evil"},"secrets":{"key":"********"}}`, "/secrets/key", "masked")
			return "", ""
		},
		"the API, an empty secret": func(h *theft) (string, string) {
			refused(h, `{"fields":{"site":"evil"},"secrets":{"key":""}}`, "/secrets/key", "required")
			return "", ""
		},
		"the API, another provider": func(h *theft) (string, string) {
			refused(h, `{"provider_id":"evil"}`, "/provider_id", "read-only")
			return "", ""
		},
		"SQL, another address": func(h *theft) (string, string) {
			h.exec(`UPDATE lanyard_provider_tokens SET fields = '{"site":"evil"}'`+byID, h.anas)
			return ana, h.anas
		},
		"SQL, another provider": func(h *theft) (string, string) {
			h.exec(`UPDATE lanyard_provider_tokens SET provider_id = 'evil', label = 'stolen'`+byID, h.anas)
			return ana, h.anas
		},
		"SQL, a ciphertext in the row of another address": func(h *theft) (string, string) {
			h.exec(`UPDATE lanyard_provider_tokens SET secrets = (SELECT secrets FROM lanyard_provider_tokens WHERE id = $2)`+byID, h.other, h.anas)
			return ana, h.other
		},
		"SQL, a ciphertext in another user's row": func(h *theft) (string, string) {
			h.exec(`UPDATE lanyard_provider_tokens SET secrets = (SELECT secrets FROM lanyard_provider_tokens WHERE id = $2)`+byID, h.bens, h.anas)
			return ben, h.bens
		},
		"SQL, a row given to another user": func(h *theft) (string, string) {
			h.exec(`UPDATE lanyard_provider_tokens SET subject = 'ben', label = 'stolen',
				owner_key_id = (SELECT owner_key_id FROM lanyard_provider_tokens WHERE id = $2)`+byID, h.anas, h.bens)
			return ben, h.anas
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachRawStore(t, func(t *testing.T, open func(testing.TB) (store.Store, *sql.DB)) {
				h := newTheft(t, open)
				if who, id := steal(h); who != "" {
					h.pressTest(who, id)
				} else if who, id := ana, h.anas; h.call(session(who), "POST", "/provider-tokens/"+id+"/verifications", "").get("verdict") != "ok" {
					t.Error("the connection does not work any more")
				} else {
					h.good.keys = nil
				}
				for _, key := range append(h.evil.caught(), h.good.caught()...) {
					if key == agentsSecret {
						t.Error("the credential was sent")
					}
				}
			})
		})
	}
}

// eachRawStore is eachAPIStore for the stores behind which there is SQL.
func eachRawStore(t *testing.T, test func(t *testing.T, open func(testing.TB) (store.Store, *sql.DB))) {
	t.Helper()
	database := func(t testing.TB, driver, dsn string) *sql.DB {
		raw, err := sql.Open(driver, dsn)
		mustAPI(t, err)
		t.Cleanup(func() { _ = raw.Close() })
		return raw
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, func(t testing.TB) (store.Store, *sql.DB) {
			path := filepath.Join(t.TempDir(), "lanyard.db")
			st, err := sqlite.Open(t.Context(), path, nil)
			mustAPI(t, err)
			t.Cleanup(func() { _ = st.Close() })
			mustAPI(t, st.Migrate(t.Context()))
			return st, database(t, "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)")
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := os.Getenv("LANYARD_TEST_POSTGRES")
		if server == "" {
			t.Skip("needs PostgreSQL: run it under `scripts/postgres run`")
		}
		test(t, func(t testing.TB) (store.Store, *sql.DB) {
			u, err := url.Parse(server)
			mustAPI(t, err)
			schema := "lanyard_theft_" + lanyard.NewID()
			admin := database(t, "pgx", server)
			_, err = admin.ExecContext(t.Context(), `CREATE SCHEMA `+schema)
			mustAPI(t, err)
			t.Cleanup(func() {
				_, err := admin.ExecContext(context.WithoutCancel(t.Context()), `DROP SCHEMA `+schema+` CASCADE`)
				mustAPI(t, err)
			})
			q := u.Query()
			q.Set("search_path", schema)
			u.RawQuery = q.Encode()
			st, err := postgres.Open(t.Context(), u.String(), nil)
			mustAPI(t, err)
			t.Cleanup(func() { _ = st.Close() })
			mustAPI(t, st.Migrate(t.Context()))
			return st, database(t, "pgx", u.String())
		})
	})
}
