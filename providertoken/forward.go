package providertoken

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aichub/lanyard"
)

// Forwarder sends the requests of somebody in another process by one
// connection. It does for each what [Service.Client] promises, but for two
// things: it does not wait for a place under the platform's rate limit and
// returns a *RateLimitError at once, and the history has each kind of call, as
// ActionCalled. It ends as a client does, and is safe for concurrent use.
type Forwarder struct {
	lease *lease
	base  string
}

// Forward returns what forwards by the owner's connection of that id. It follows
// no redirect. httpadapter.Proxy is made of it.
//
// Errors are those of Client; an id that is unknown or somebody else's is a
// lanyard.ErrNotFound.
func (s *Service) Forward(ctx context.Context, owner lanyard.Owner, id string, use *Use) (_ *Forwarder, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Forward", tokenAttr(id)...)
	defer end(&err)
	f, err := s.forward(ctx, owner, id, use)
	if err != nil {
		return nil, fmt.Errorf("providertoken: forward by %s: %w", shown(id), err)
	}
	return f, nil
}

func (s *Service) forward(ctx context.Context, owner lanyard.Owner, id string, use *Use) (*Forwarder, error) {
	cleaned, err := cleanUse(use)
	if err != nil {
		return nil, err
	}
	if !validID(id) {
		return nil, lanyard.ErrNotFound
	}
	row, err := s.store.ProviderToken(ctx, owner, id)
	if err != nil {
		return nil, err
	}
	l, err := s.lease(ctx, row, cleaned)
	if err != nil {
		return nil, err
	}
	l.forwards = true
	now, err := l.current(ctx) // the row may have been edited since
	if err != nil {
		return nil, err
	}
	return &Forwarder{lease: l, base: now.dest.base.String()}, nil
}

// Base is where the platform's API begins, as Token.Base.
func (f *Forwarder) Base() string { return f.base }

// RoundTrip implements [http.RoundTripper].
func (f *Forwarder) RoundTrip(req *http.Request) (*http.Response, error) {
	return f.lease.RoundTrip(req)
}

var _ http.RoundTripper = (*Forwarder)(nil)
