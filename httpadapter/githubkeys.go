package httpadapter

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/aichub/lanyard"
)

const (
	githubKeysURL = "https://api.github.com/meta/public_keys/secret_scanning"
	githubTimeout = 10 * time.Second
	maxGitHubKeys = 1 << 20 // bytes of their list

	// keysFresh is how old the list may be, and keysStale how old while GitHub
	// does not give a newer one.
	keysFresh = time.Hour
	keysStale = 24 * time.Hour

	// keysPause is how long after one fetch the next may begin, whoever asks for
	// a key that is not there: 30 an hour, half of what GitHub allows strangers
	// (docs.github.com, "Rate limits for the REST API").
	keysPause = 2 * time.Minute
)

// githubKeys are the public keys GitHub signs its reports with.
type githubKeys struct {
	client *http.Client
	now    func() time.Time
	logger *slog.Logger

	fetching chan struct{} // holds one token: whoever has it fetches

	mu      sync.Mutex
	keys    map[string]*ecdsa.PublicKey
	fetched time.Time // the list in keys
	tried   time.Time // the last attempt at one
}

func newGitHubKeys(client *http.Client, now func() time.Time, logger *slog.Logger) *githubKeys {
	return &githubKeys{client: client, now: now, logger: logger, fetching: make(chan struct{}, 1)}
}

// key returns the key with that identifier, lanyard.ErrNotFound if GitHub has
// none, or lanyard.ErrUnavailable if it does not say.
func (g *githubKeys) key(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	if key, age, _ := g.known(id); key != nil && age <= keysFresh {
		return key, nil
	}
	if err := g.refresh(ctx); err != nil {
		return nil, err
	}
	key, age, current := g.known(id)
	switch {
	case key != nil && age <= keysStale:
		return key, nil
	case key == nil && current:
		return nil, fmt.Errorf("httpadapter: key of a report: %w", lanyard.ErrNotFound)
	}
	return nil, fmt.Errorf("httpadapter: github's keys: %w", lanyard.ErrUnavailable)
}

// known returns a key of the list, how old the list is, and whether the last
// attempt at one succeeded.
func (g *githubKeys) known(id string) (key *ecdsa.PublicKey, age time.Duration, current bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keys[id], g.now().Sub(g.fetched), !g.fetched.IsZero() && g.fetched.Equal(g.tried)
}

// refresh fetches the list, unless that was tried just now. An error says that
// ctx ended.
func (g *githubKeys) refresh(ctx context.Context) error {
	select {
	case g.fetching <- struct{}{}:
		defer func() { <-g.fetching }()
	case <-ctx.Done():
		return fmt.Errorf("httpadapter: github's keys: %w: %w", lanyard.ErrUnavailable, ctx.Err())
	}
	now := g.now()
	if !g.begin(now) {
		return nil
	}
	// What is fetched serves others too: it does not end with who asked first.
	keys, err := g.fetch(context.WithoutCancel(ctx))
	if err != nil {
		g.logger.WarnContext(ctx, "github's keys could not be fetched", slog.Any("error", err))
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys, g.fetched = keys, now
	return nil
}

// begin notes an attempt, if it is time for one.
func (g *githubKeys) begin(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.tried.IsZero() && now.Sub(g.tried) < keysPause {
		return false
	}
	g.tried = now
	return true
}

// The faults of fetching hold nothing that came from outside.
var (
	errGitHubSilent = errors.New("no answer")
	errGitHubAnswer = errors.New("the answer is no list of keys")
)

func (g *githubKeys) fetch(ctx context.Context) (map[string]*ecdsa.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, githubTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, githubKeysURL, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := g.client.Do(r)
	if err != nil {
		return nil, errGitHubSilent
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxGitHubKeys))
	if err != nil {
		return nil, errGitHubSilent
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return parseGitHubKeys(body)
}

// parseGitHubKeys reads a list. A key of a kind that we do not know is left out.
func parseGitHubKeys(body []byte) (map[string]*ecdsa.PublicKey, error) {
	var list struct {
		PublicKeys []struct {
			ID  string `json:"key_identifier"`
			Key string `json:"key"` // PEM
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, errGitHubAnswer
	}
	keys := make(map[string]*ecdsa.PublicKey)
	for _, k := range list.PublicKeys {
		block, _ := pem.Decode([]byte(k.Key))
		if block == nil {
			continue
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			continue
		}
		if key, ok := parsed.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() && k.ID != "" {
			keys[k.ID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errGitHubAnswer
	}
	return keys, nil
}
