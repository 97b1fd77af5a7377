package providertoken

import (
	"context"
	"errors"
	"fmt"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
)

// binding names the one place a secret belongs to: this field of this row of
// this owner, this often written, for this destination.
func binding(row store.ProviderToken, d destination, field string, version int64) crypto.Binding {
	return crypto.Binding{
		Purpose: "provider-token", Owner: row.Owner, Record: row.ID,
		Field: field, SecretVersion: version, Destination: d.digest,
	}
}

// seal puts plaintext secrets into the row, each under its next version.
func (s *Service) seal(ctx context.Context, row *store.ProviderToken, d destination, secrets map[string]string) error {
	sealed := make(map[string]store.SealedSecret, len(row.Secrets)+len(secrets))
	for name, secret := range row.Secrets {
		sealed[name] = secret
	}
	for name, plain := range secrets {
		version := sealed[name].Version + 1
		out, err := s.sealer.Seal(ctx, binding(*row, d, name, version), lanyard.NewSecret(plain))
		if err != nil {
			return err
		}
		row.OwnerKeyID = out.OwnerKeyID
		sealed[name] = store.SealedSecret{Envelope: out.Envelope, Version: version, UpdatedAt: row.UpdatedAt}
	}
	row.Secrets = sealed
	return nil
}

// open returns the row's secrets in plaintext, but for those that are typed
// again. One that the method needs and the row does not have is lost.
func (s *Service) open(ctx context.Context, row store.ProviderToken, d destination, typed map[string]string) (map[string]string, error) {
	for _, f := range d.method.Fields {
		_, stored := row.Secrets[f.Name]
		if _, again := typed[f.Name]; !f.isPublic() && !f.Optional && !stored && !again {
			err := fmt.Errorf("nothing is stored: %w", crypto.ErrIntegrity)
			s.alarm(ctx, row, f.Name, err)
			return nil, &lostSecretError{f.Name, err}
		}
	}
	out := make(map[string]string, len(row.Secrets))
	for name, secret := range row.Secrets {
		if _, again := typed[name]; again {
			continue
		}
		plain, err := s.sealer.Open(ctx, binding(row, d, name, secret.Version), secret.Envelope)
		if err != nil {
			if errors.Is(err, crypto.ErrIntegrity) || errors.Is(err, crypto.ErrUnknownKey) {
				s.alarm(ctx, row, name, err)
				return nil, &lostSecretError{name, err}
			}
			return nil, fmt.Errorf("open %s: %w", name, err)
		}
		out[name] = plain.Reveal()
	}
	return out, nil
}

// saved turns the store's answer to a sealed row into the service's: an owner
// key that is gone is forgotten, so that the next try makes a new one.
func (s *Service) saved(row store.ProviderToken, err error) error {
	if errors.Is(err, store.ErrOwnerKeyGone) {
		s.sealer.Forget(row.Owner)
	}
	return err
}
