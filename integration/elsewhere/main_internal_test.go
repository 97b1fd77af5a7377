package elsewhere

import (
	"context"
	"net/netip"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

var ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}

// world is a service with keys of ana's.
type world struct {
	store *memory.Store
	keys  *apikey.Service

	good, other, bare, deleted, deactivated string
	goodID                                  string
}

func newWorld(t *testing.T, change func(*apikey.Options)) *world {
	t.Helper()
	w := &world{store: memory.New()}
	o := &apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}}
	if change != nil {
		change(o)
	}
	var err error
	w.keys, err = apikey.NewService(w.store, o)
	ok(t, err)
	t.Cleanup(func() { _ = w.keys.Close(context.Background()) })
	made := func(owner lanyard.Owner, scopes ...string) apikey.Created {
		c, err := w.keys.Create(t.Context(), owner, apikey.CreateRequest{Name: "ci", Scopes: scopes})
		ok(t, err)
		return c
	}
	good := made(ana, "read")
	w.good, w.goodID = good.Secret.Reveal(), good.Key.ID
	w.other, w.bare = made(ana, "read", "write").Secret.Reveal(), made(ana).Secret.Reveal()
	gone := made(ana, "read")
	w.deleted = gone.Secret.Reveal()
	ok(t, w.keys.Delete(t.Context(), ana, gone.Key.ID, 0))
	ben := lanyard.Owner{Tenant: "acme", Subject: "ben"}
	w.deactivated = made(ben, "read").Secret.Reveal()
	ok(t, profile.NewService(w.store, &profile.Options{OwnerChanged: w.keys.Refresh}).Deactivate(t.Context(), ben))
	return w
}

// stranger is a key of another installation.
func stranger(t *testing.T) string { return newWorld(t, nil).good }

func loopback(o *apikey.Options) { o.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
