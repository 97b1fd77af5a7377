package apikey

import (
	"context"
	"errors"
	"fmt"

	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
)

const inspectPage = 500 // keys read at once

// Inspection is what [Inspect] found.
type Inspection struct {
	Keys int // live keys looked at

	// Unsigned and Forged name keys that Verify refuses, in the order of ids: the
	// rows of the former have no MAC, those of the latter another than a host with
	// this Sealer made.
	Unsigned, Forged []string
}

// Inspect checks the MAC of every live key, and so tells an operator whether
// somebody else has written the table of keys. It changes nothing and may run
// beside hosts: a key whose row changes meanwhile is looked at as it was read.
//
// An error means that the inspection ended early; it is a
// lanyard.ErrUnavailable where store or key service did not answer, which says
// nothing about any key. The Inspection holds what was found until then.
func Inspect(ctx context.Context, m store.Maintenance, sealer *crypto.Sealer) (Inspection, error) {
	var found Inspection
	if sealer == nil {
		return found, errors.New("apikey: inspect wants a Sealer")
	}
	s := &Service{sealer: sealer}
	for after := ""; ; {
		keys, err := m.AllAPIKeys(ctx, after, inspectPage)
		if err != nil {
			return found, fmt.Errorf("apikey: inspect: %w", err)
		}
		for _, k := range keys {
			authentic, err := s.authentic(ctx, k)
			if err != nil {
				return found, fmt.Errorf("apikey: inspect: %w", err)
			}
			switch {
			case len(k.MAC) == 0:
				found.Unsigned = append(found.Unsigned, k.ID)
			case !authentic:
				found.Forged = append(found.Forged, k.ID)
			}
			found.Keys++
		}
		if len(keys) < inspectPage {
			return found, nil
		}
		after = keys[len(keys)-1].ID
	}
}
