package httpadapter

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// timestamp is a time as the API writes it: RFC 3339 in UTC, to the
// microsecond. The zero time is left out by omitzero.
type timestamp time.Time

// MarshalText implements [encoding.TextMarshaler].
func (t timestamp) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.999999Z"), nil
}

// IsZero lets omitzero work.
func (t timestamp) IsZero() bool { return time.Time(t).IsZero() }

// keyView is a key as the API shows it: never its token or hash.
type keyView struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Hint      string        `json:"hint"`
	Scopes    []string      `json:"scopes"`
	Status    apikey.Status `json:"status"`
	CreatedAt timestamp     `json:"created_at"`
	ExpiresAt timestamp     `json:"expires_at,omitzero"`

	FirstUsedAt   timestamp `json:"first_used_at,omitzero"`
	FirstUsedFrom string    `json:"first_used_from,omitzero"`
	LastUsedAt    timestamp `json:"last_used_at,omitzero"`
	LastUsedFrom  string    `json:"last_used_from,omitzero"`

	RotatedFrom       string    `json:"rotated_from,omitzero"`
	RotatedTo         string    `json:"rotated_to,omitzero"`
	RotatedAt         timestamp `json:"rotated_at,omitzero"`
	UsedSinceRotation *bool     `json:"used_since_rotation,omitzero"` // nil = never rotated
}

func viewKey(k apikey.Key) keyView {
	v := keyView{
		ID: k.ID, Name: k.Name, Hint: k.Hint, Scopes: append([]string{}, k.Scopes...), Status: k.Status,
		CreatedAt: timestamp(k.CreatedAt), ExpiresAt: timestamp(k.ExpiresAt),
		FirstUsedAt: timestamp(k.FirstUsedAt), FirstUsedFrom: k.FirstUsedFrom,
		LastUsedAt: timestamp(k.LastUsedAt), LastUsedFrom: k.LastUsedFrom,
		RotatedFrom: k.RotatedFrom, RotatedTo: k.RotatedTo, RotatedAt: timestamp(k.RotatedAt),
	}
	if !k.RotatedAt.IsZero() {
		v.UsedSinceRotation = new(k.UsedSinceRotation())
	}
	return v
}

func keyAnswer(k apikey.Key) answer {
	return answer{status: http.StatusOK, body: viewKey(k), version: k.Version}
}

func (h *Handler) listKeys(c *call) (answer, error) {
	keys, err := h.config.APIKeys.Keys(c.r.Context(), c.caller.Owner)
	return answer{status: http.StatusOK, body: list(keys, viewKey)}, err
}

func (h *Handler) showKey(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	k, err := h.config.APIKeys.Key(c.r.Context(), c.caller.Owner, c.id)
	return keyAnswer(k), err
}

func (h *Handler) createKey(c *call) (answer, error) {
	type request struct {
		Name      member[string]    `json:"name"`
		ExpiresAt member[time.Time] `json:"expires_at"`
		Scopes    member[[]string]  `json:"scopes"`
	}
	body, err := decode[request](c)
	if err != nil {
		return answer{}, err
	}
	if err := firstError(body.Name.required("name"), body.ExpiresAt.notNull("expires_at"), inTime("expires_at", body.ExpiresAt), body.Scopes.notNull("scopes")); err != nil {
		return answer{}, err
	}
	if err := c.mayGive(body.Scopes.value); err != nil {
		return answer{}, err
	}
	idempotencyKey, err := idempotencyKey(c.r)
	if err != nil {
		return answer{}, err
	}
	made, err := h.config.APIKeys.Create(c.r.Context(), c.caller.Owner, apikey.CreateRequest{
		Name: body.Name.value, ExpiresAt: body.ExpiresAt.value, Scopes: body.Scopes.value, IdempotencyKey: idempotencyKey,
	})
	if err != nil {
		return answer{}, err
	}
	type response struct {
		APIKey keyView `json:"api_key"`
		Secret string  `json:"secret,omitzero"`
	}
	a := answer{
		status: http.StatusCreated, version: made.Key.Version,
		body: response{APIKey: viewKey(made.Key), Secret: made.Secret.Reveal()},
		// Relative to the request (RFC 9110 section 10.2.2), so that no prefix
		// has to be known.
		header: map[string]string{"Location": "api-keys/" + made.Key.ID},
	}
	if made.Replayed {
		a.header["Idempotency-Replayed"] = "true"
	}
	return a, nil
}

// mayGive refuses a key as caller that would get itself a scope it lacks, by a
// new key or by the successor of another.
func (c *call) mayGive(scopes []string) error {
	if c.caller.byKey() && slices.ContainsFunc(scopes, func(scope string) bool { return !c.caller.HasScope(scope) }) {
		return errProblem{problem{Code: codeForbidden, Detail: "the key lacks a scope that the new one would have"}}
	}
	return nil
}

// idempotencyKey returns the Idempotency-Key header, which may stand once. An
// empty one is refused: the client believes it is protected and is not.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || values[0] == "" || len(values[0]) > 255 || strings.ContainsFunc(values[0], unprintable):
		return "", malformed("Idempotency-Key is one value of 1 to 255 printable ASCII characters")
	}
	return values[0], nil
}

func unprintable(c rune) bool { return c < ' ' || c > '~' }

func (h *Handler) renameKey(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	type request struct {
		Name member[string] `json:"name"`
	}
	body, err := decode[request](c, "expires_at", "scopes")
	if err != nil {
		return answer{}, err
	}
	if err := body.Name.required("name"); err != nil {
		return answer{}, err
	}
	version, err := precondition(c, func() (int64, error) { return h.keyVersion(c) })
	if err != nil {
		return answer{}, err
	}
	k, err := h.config.APIKeys.Rename(c.r.Context(), c.caller.Owner, c.id, version, body.Name.value)
	if err == nil && !k.RotatedAt.IsZero() {
		// Its successor is another row's business, which Rename has not read.
		if whole, err := h.config.APIKeys.Key(c.r.Context(), c.caller.Owner, c.id); err == nil {
			k = whole
		}
	}
	return keyAnswer(k), stale(c, err)
}

func (h *Handler) deleteKey(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	version, err := precondition(c, func() (int64, error) { return h.keyVersion(c) })
	if err != nil {
		return answer{}, err
	}
	err = h.config.APIKeys.Delete(c.r.Context(), c.caller.Owner, c.id, version)
	return answer{status: http.StatusNoContent}, stale(c, err)
}

func (h *Handler) keyVersion(c *call) (int64, error) {
	k, err := h.config.APIKeys.Key(c.r.Context(), c.caller.Owner, c.id)
	return k.Version, err
}

// maxGraceSeconds keeps the multiplication from overflowing; the service has
// the real limit.
const maxGraceSeconds = 1 << 32

func (h *Handler) rotateKey(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	type request struct {
		GraceSeconds member[int64] `json:"grace_seconds"`
	}
	body, err := decode[request](c)
	if err != nil {
		return answer{}, err
	}
	if err := body.GraceSeconds.required("grace_seconds"); err != nil {
		return answer{}, err
	}
	if s := body.GraceSeconds.value; s < 0 || s > maxGraceSeconds {
		return answer{}, &lanyard.InputError{Field: "grace_seconds", Code: lanyard.CodeInvalid, Message: "the grace is out of range"}
	}
	if c.caller.byKey() && c.caller.KeyID != c.id {
		k, err := h.config.APIKeys.Key(c.r.Context(), c.caller.Owner, c.id)
		if err = cmp.Or(err, c.mayGive(k.Scopes)); err != nil {
			return answer{}, err
		}
	}
	version, err := precondition(c, func() (int64, error) { return h.keyVersion(c) })
	if err != nil {
		return answer{}, err
	}
	made, err := h.config.APIKeys.Rotate(c.r.Context(), c.caller.Owner, c.id, apikey.RotateRequest{
		Grace: time.Duration(body.GraceSeconds.value) * time.Second, Version: version,
	})
	if errors.Is(err, lanyard.ErrConflict) && version != 0 {
		if current, readErr := h.keyVersion(c); readErr == nil && current == version {
			return answer{}, err // it has expired, or has a successor
		}
	}
	if err != nil {
		return answer{}, stale(c, err)
	}
	type response struct {
		APIKey       keyView   `json:"api_key"`
		Secret       string    `json:"secret"`
		OldExpiresAt timestamp `json:"old_expires_at"`
	}
	return answer{
		status: http.StatusCreated, version: made.Key.Version,
		body: response{
			APIKey: viewKey(made.Key), Secret: made.Secret.Reveal(), OldExpiresAt: timestamp(made.OldExpiresAt),
		},
		header: map[string]string{"Location": "../" + made.Key.ID},
	}, nil
}

// firstError returns the first of errs that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
