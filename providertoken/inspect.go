package providertoken

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
)

const (
	// inspectPage is how many connections are read at once.
	inspectPage = 100

	// inspectWorkers of a page are opened side by side, because a key service
	// is asked about each owner.
	inspectWorkers = 8
)

// Inspected is what [Inspect] needs of a store.
type Inspected interface {
	store.ProviderTokens
	store.Maintenance
}

// Inspection is what [Inspect] found.
type Inspection struct {
	Tokens  int // connections looked at
	Secrets int // sealed fields of theirs that were opened, or could not be

	// Unreadable names every sealed field that does not open, by connection id
	// and then by field.
	Unreadable []Unreadable
}

// Unreadable is one sealed field that does not open.
type Unreadable struct {
	TokenID string
	Field   string

	// Err is [crypto.ErrIntegrity] for one that was changed or belongs
	// elsewhere, as to a definition that was not given;
	// [crypto.ErrUnknownKey] for one whose owner key is not there; and
	// [ErrNotOffered] where none of the definitions has its method.
	Err error
}

// Inspect opens every sealed field of every connection of all owners and keeps
// nothing of what it reads: an operator learns what could not be used, before
// its owner does. It changes nothing, asks no platform and may run beside
// hosts; a connection that is edited or deleted meanwhile is not held against
// anybody. It holds a page of connections in memory, and what it found.
//
// defs are the host's definitions. Its instances need not be known: a field is
// readable if it opens for one of the definitions as the instance that its
// connection names. progress, which may be nil, hears what was found so far
// after each page, from the caller's goroutine.
//
// An error means that the inspection ended early; it is a
// lanyard.ErrUnavailable where store or key service did not answer, which says
// nothing about any field. The Inspection holds what was found until then.
func Inspect(ctx context.Context, st Inspected, sealer *crypto.Sealer, defs []Definition, progress func(Inspection)) (Inspection, error) {
	i := &inspecting{store: st, sealer: sealer}
	for _, d := range defs {
		if err := d.Validate(); err != nil {
			return Inspection{}, fmt.Errorf("providertoken: inspect: %w", err)
		}
		i.offers = append(i.offers, newOffer(d))
	}
	for after := ""; ; {
		rows, err := st.AllProviderTokens(ctx, after, inspectPage)
		if err == nil {
			err = i.page(ctx, rows)
		}
		if err != nil {
			return i.found, fmt.Errorf("providertoken: inspect: %w", err)
		}
		if progress != nil {
			progress(i.found)
		}
		if len(rows) < inspectPage {
			return i.found, nil
		}
		after = rows[len(rows)-1].ID
	}
}

// inspecting is one run of Inspect.
type inspecting struct {
	store  Inspected
	sealer *crypto.Sealer
	offers []*offer
	found  Inspection
}

// page looks at some connections, several at once. Where it returns an error
// none of them counts.
func (i *inspecting) page(ctx context.Context, rows []store.ProviderToken) error {
	bad := make([][]Unreadable, len(rows))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(inspectWorkers)
	for n := range rows {
		group.Go(func() (err error) {
			bad[n], err = i.connection(inner, &rows[n])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for n, row := range rows {
		i.found.Tokens++
		i.found.Secrets += len(row.Secrets)
		i.found.Unreadable = append(i.found.Unreadable, bad[n]...)
	}
	return nil
}

// connection returns what of a connection does not open. If somebody changed
// it since it was read, the newer one is looked at and left in row; of one that
// is gone, nothing is left.
func (i *inspecting) connection(ctx context.Context, row *store.ProviderToken) ([]Unreadable, error) {
	for {
		bad, err := i.fields(ctx, *row)
		if err != nil || len(bad) == 0 {
			return nil, err
		}
		now, err := i.store.ProviderToken(ctx, row.Owner, row.ID)
		switch {
		case errors.Is(err, lanyard.ErrNotFound):
			row.Secrets = nil
			return nil, nil
		case err != nil:
			return nil, err
		case now.Version == row.Version:
			return bad, nil
		}
		*row = now
	}
}

// fields returns the fields that do not open. An error is an answer that is
// missing.
func (i *inspecting) fields(ctx context.Context, row store.ProviderToken) ([]Unreadable, error) {
	var bad []Unreadable
	places := i.places(row)
	for _, field := range slices.Sorted(maps.Keys(row.Secrets)) {
		err := i.open(ctx, row, field, places)
		switch {
		case errors.Is(err, lanyard.ErrUnavailable):
			return nil, fmt.Errorf("%s of %s: %w", field, row.ID, err)
		case err != nil:
			bad = append(bad, Unreadable{TokenID: row.ID, Field: field, Err: err})
		}
	}
	return bad, nil
}

// open opens a field at the first of the places it can belong to.
func (i *inspecting) open(ctx context.Context, row store.ProviderToken, field string, places []destination) error {
	secret, err := row.Secrets[field], ErrNotOffered
	for _, d := range places {
		_, err = i.sealer.Open(ctx, binding(row, d, field, secret.Version), secret.Envelope)
		if !errors.Is(err, crypto.ErrIntegrity) { // it opens, or does so nowhere
			return err
		}
	}
	return err
}

// places returns where a connection's secrets may be sealed for: the public
// address of the definition that it names, or an instance of any other that
// has its method.
func (i *inspecting) places(row store.ProviderToken) []destination {
	var out []destination
	for _, o := range i.offers {
		m, ok := o.methods[row.MethodID]
		if !ok {
			continue
		}
		at := *o
		if o.id != row.ProviderID {
			at.instance = row.ProviderID
		}
		out = append(out, destination{digest: at.digest(m, row.Fields)})
	}
	return out
}
