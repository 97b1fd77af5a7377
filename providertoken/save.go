package providertoken

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Create verifies a credential and stores it. Errors: *lanyard.InputError,
// *VerificationError, lanyard.ErrExists for a second connection of the same
// provider and label, lanyard.ErrLimit, lanyard.ErrConflict for an owner who
// was erased meanwhile.
func (s *Service) Create(ctx context.Context, owner lanyard.Owner, r CreateRequest) (_ Token, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Create", s.providerAttr(r.ProviderID)...)
	defer end(&err)
	row, err := s.create(ctx, owner, r)
	if err != nil {
		return Token{}, fmt.Errorf("providertoken: create: %w", err)
	}
	return s.token(row), nil
}

func (s *Service) create(ctx context.Context, owner lanyard.Owner, r CreateRequest) (store.ProviderToken, error) {
	if err := owner.Validate(); err != nil {
		return store.ProviderToken{}, err
	}
	now := s.now()
	o, ok := s.byID[r.ProviderID]
	if !ok {
		return store.ProviderToken{}, refuse("provider_id", lanyard.CodeUnknown, "there is no such provider")
	}
	if r.MethodID == "" {
		r.MethodID = o.def.Methods[0].ID
	}
	m, ok := o.methods[r.MethodID]
	if !ok {
		return store.ProviderToken{}, refuse("method_id", lanyard.CodeUnknown, "the provider has no such method")
	}
	label, err1 := cleanLabel(r.Label)
	fields, err2 := m.cleanFields(r.Fields, false)
	secrets, err3 := m.cleanSecrets(r.Secrets, false)
	errs := append(s.refuseOthers(o, m, secrets), err1, err2, err3, cleanExpiry(r.ExpiresAt, now))
	errs = append(errs, s.refuseOpen(m, label, fields)...)
	if err := errors.Join(errs...); err != nil {
		return store.ProviderToken{}, err
	}
	dropEmpty(fields)
	d, err := o.destination(m.ID, fields)
	if err != nil {
		return store.ProviderToken{}, err
	}
	row := store.ProviderToken{
		ID: lanyard.NewID(), Owner: owner, ProviderID: o.id, MethodID: m.ID, Label: label, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.mayCreate(ctx, row); err != nil {
		return store.ProviderToken{}, err
	}
	f, err := s.prove(ctx, &row, d, secrets, r.AllowUnverified)
	if err != nil {
		return store.ProviderToken{}, err
	}
	row.ExpiresAt = expiry(f.expiresAt, r.ExpiresAt, m.Lifetime.Max, now)
	if err := s.seal(ctx, &row, f.at, secrets); err != nil {
		return store.ProviderToken{}, err
	}
	e := s.event(ctx, now, ActionCreated, row)
	if err := s.saved(row, s.store.CreateProviderToken(ctx, row, s.limit, e)); err != nil {
		// A commit whose answer was lost may have arrived: the id is ours.
		if stored, found := s.store.ProviderToken(ctx, owner, row.ID); found == nil && errors.Is(err, lanyard.ErrUnavailable) {
			s.onEvent(ctx, e)
			return stored, nil
		}
		return store.ProviderToken{}, err
	}
	row.Version = 1
	s.onEvent(ctx, e)
	return row, nil
}

// mayCreate refuses before a credential is sent anywhere what the store would
// refuse afterwards. The store decides.
func (s *Service) mayCreate(ctx context.Context, row store.ProviderToken) error {
	if err := s.active(ctx, row.Owner); err != nil {
		return err
	}
	rows, err := s.store.ProviderTokens(ctx, row.Owner)
	if err != nil {
		return err
	}
	if s.limit >= 0 && len(rows) >= s.limit {
		return lanyard.ErrLimit
	}
	for _, other := range rows {
		if other.ProviderID == row.ProviderID && other.Label == row.Label {
			return lanyard.ErrExists
		}
	}
	return nil
}

// active refuses an owner who was deactivated: nothing speaks for him.
func (s *Service) active(ctx context.Context, owner lanyard.Owner) error {
	state, err := s.store.OwnerState(ctx, owner)
	if err == nil && state.Deactivated() {
		return lanyard.ErrDeactivated
	}
	return err
}

// prove verifies the row's credential at the bases of d's address and notes in
// the row what was found, and where. It returns a *VerificationError for a
// verdict that must not be stored.
func (s *Service) prove(ctx context.Context, row *store.ProviderToken, d destination, secrets map[string]string, allowUnverified bool) (finding, error) {
	f, err := s.verify(ctx, d, secrets, true)
	if err != nil {
		return finding{}, err
	}
	row.Account, row.Verdict, row.Reason, row.CheckedAt = store.Account{}, "", "", time.Time{}
	row.Fields, row.Origin = f.at.fields, f.at.base.origin.String()
	switch {
	case f.verdict == VerdictOK:
		row.Account, row.Verdict, row.CheckedAt = store.Account(f.account), string(VerdictOK), s.now()
	case f.verdict != VerdictUnreachable || !allowUnverified:
		return finding{}, &VerificationError{Verdict: f.verdict, Reason: f.reason}
	}
	return f, nil
}

// expiry chooses the end of a credential's life: what the platform said, else
// what the user said, never later than the platform's maximum after the
// credential was written.
func expiry(said, typed time.Time, longest time.Duration, written time.Time) time.Time {
	if !said.IsZero() {
		return store.Instant(said)
	}
	if longest > 0 {
		if last := written.Add(longest); typed.IsZero() || typed.After(last) {
			return last
		}
	}
	return store.Instant(typed)
}

// written is when the newest of the row's secrets was.
func written(row store.ProviderToken) time.Time {
	newest := row.CreatedAt
	for _, secret := range row.Secrets {
		if secret.UpdatedAt.After(newest) {
			newest = secret.UpdatedAt
		}
	}
	return newest
}

// Update changes a connection; a change of fields or secrets is verified
// first. A change of a field that decides the address asks for all secrets
// again: an *lanyard.InputError with CodeSecretRequired for each that is
// missing. A change that keeps a secret takes a place under the platform's rate
// limit, as Verify does. A kept secret that does not open is asked for with CodeSecretLost. An
// edit that changes nothing writes nothing; a secret that is typed again is a
// change. Other errors are those of Create, lanyard.ErrNotFound,
// lanyard.ErrConflict for another version and ErrNotOffered.
func (s *Service) Update(ctx context.Context, owner lanyard.Owner, id string, r UpdateRequest) (_ Token, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Update", tokenAttr(id)...)
	defer end(&err)
	row, err := s.update(ctx, owner, id, r)
	if err != nil {
		return Token{}, fmt.Errorf("providertoken: update %s: %w", shown(id), err)
	}
	return s.token(row), nil
}

func (s *Service) update(ctx context.Context, owner lanyard.Owner, id string, r UpdateRequest) (store.ProviderToken, error) {
	was, err := s.store.ProviderToken(ctx, owner, id)
	if err != nil {
		return store.ProviderToken{}, err
	}
	row := was
	if r.Version != 0 && r.Version != row.Version {
		return store.ProviderToken{}, lanyard.ErrConflict
	}
	before, err := s.destination(row)
	if err != nil {
		return store.ProviderToken{}, err
	}
	m := before.method
	fields, err1 := m.cleanFields(r.Fields, true)
	secrets, err2 := m.cleanSecrets(r.Secrets, true)
	errs := append(s.refuseOthers(before.offer, m, secrets), err1, err2)
	newLabel := ""
	if r.Label != nil {
		newLabel, err = cleanLabel(*r.Label)
		row.Label = newLabel
		errs = append(errs, err)
	}
	errs = append(errs, s.refuseOpen(m, newLabel, fields)...)
	if r.ExpiresAt != nil {
		errs = append(errs, cleanExpiry(*r.ExpiresAt, s.now()))
	}
	if err := errors.Join(errs...); err != nil {
		return store.ProviderToken{}, err
	}
	if r.ExpiresAt != nil {
		row.ExpiresAt = expiry(time.Time{}, *r.ExpiresAt, m.Lifetime.Max, written(row))
	}
	stored := typedFields(row.Fields)
	fields = merged(stored, fields)
	prove := len(secrets) > 0 || !maps.Equal(fields, stored)
	if !prove && row.Label == was.Label && row.ExpiresAt.Equal(was.ExpiresAt) {
		return was, nil
	}
	row.UpdatedAt = s.now()
	if prove {
		if err := s.active(ctx, owner); err != nil {
			return store.ProviderToken{}, err
		}
		if err := s.renew(ctx, &row, before, fields, secrets, r); err != nil {
			return store.ProviderToken{}, err
		}
	}
	e := s.event(ctx, row.UpdatedAt, ActionUpdated, row)
	if err := s.saved(row, s.store.UpdateProviderToken(ctx, row, e)); err != nil {
		return store.ProviderToken{}, err
	}
	row.Version++
	s.onEvent(ctx, e)
	return row, nil
}

// renew puts fields and new secrets into the row and proves them together with
// what is kept.
func (s *Service) renew(ctx context.Context, row *store.ProviderToken, before destination, fields, secrets map[string]string, r UpdateRequest) error {
	after, err := before.offer.destination(row.MethodID, fields)
	if err != nil {
		return err
	}
	first, err := before.at(nil, nil)
	if err != nil {
		return err
	}
	kept := map[string]string{}
	if string(after.digest) != string(first.digest) {
		if err := allTyped(*row, before.method, secrets); err != nil {
			return err
		}
		row.Secrets = maps.Clone(row.Secrets)
		maps.DeleteFunc(row.Secrets, func(name string, _ store.SealedSecret) bool { _, typed := secrets[name]; return !typed })
	} else {
		if kept, err = s.keep(ctx, *row, before, secrets); err != nil {
			return err
		}
		// A base was found for what is kept, and binds it. Without that the row's
		// word alone says so, and anybody may have written it.
		if len(kept) > 0 {
			after = before.with(fields)
		}
	}
	f, err := s.prove(ctx, row, after, merged(kept, secrets), r.AllowUnverified)
	if err != nil {
		return err
	}
	// A new secret begins a new life; an old one keeps its end.
	if len(secrets) > 0 {
		typed := time.Time{}
		if r.ExpiresAt != nil {
			typed = *r.ExpiresAt
		}
		row.ExpiresAt = expiry(f.expiresAt, typed, after.method.Lifetime.Max, row.UpdatedAt)
	} else {
		row.ExpiresAt = expiry(f.expiresAt, row.ExpiresAt, after.method.Lifetime.Max, written(*row))
	}
	if string(f.at.digest) != string(before.digest) {
		if err := s.reseal(ctx, row, f.at, kept); err != nil {
			return err
		}
	}
	return s.seal(ctx, row, f.at, secrets)
}

// keep returns the secrets of a row that are not typed again, and takes a place
// for the probe of them. Only those have to open, so that one which does not can
// be typed again.
func (s *Service) keep(ctx context.Context, row store.ProviderToken, d destination, typed map[string]string) (map[string]string, error) {
	kept, err := s.open(ctx, row, d, typed)
	if lost := (*lostSecretError)(nil); errors.As(err, &lost) {
		return nil, fmt.Errorf("%w: %w", refuse("secrets/"+lost.field, CodeSecretLost, "the stored secret is needed again"), lost)
	}
	if err == nil && len(kept) > 0 {
		_, err = s.place(ctx, row.ID, d)
	}
	if errors.Is(err, ErrRateLimited) {
		return nil, &VerificationError{Verdict: VerdictRateLimited}
	}
	return kept, err
}

// reseal seals secrets that the row has for another base of its address. When
// they were written stays.
func (s *Service) reseal(ctx context.Context, row *store.ProviderToken, d destination, secrets map[string]string) error {
	before := row.Secrets
	if err := s.seal(ctx, row, d, secrets); err != nil {
		return err
	}
	for name := range secrets {
		secret := row.Secrets[name]
		secret.UpdatedAt = before[name].UpdatedAt
		row.Secrets[name] = secret
	}
	return nil
}

// allTyped asks for every secret the method needs or the row has.
func allTyped(row store.ProviderToken, m method, secrets map[string]string) error {
	var errs []error
	for _, f := range m.Fields {
		_, typed := secrets[f.Name]
		_, stored := row.Secrets[f.Name]
		if !f.isPublic() && !typed && (stored || !f.Optional) {
			errs = append(errs, refuse("secrets/"+f.Name, CodeSecretRequired, "the address changed: every secret is needed again"))
		}
	}
	return errors.Join(errs...)
}

// Verify asks the platform again and keeps what it says for or against the
// credential; an answer that decides nothing changes nothing. Where agents have
// used up the platform's rate limit for longer than VerifyTimeout it is not asked,
// and the verdict is rate_limited. Errors: lanyard.ErrNotFound, ErrNotOffered,
// ErrSecretLost, lanyard.ErrDeactivated, lanyard.ErrConflict when the connection
// was changed meanwhile.
func (s *Service) Verify(ctx context.Context, owner lanyard.Owner, id string) (_ Verification, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Verify", tokenAttr(id)...)
	defer end(&err)
	v, err := s.verifyAgain(ctx, owner, id)
	if err != nil {
		return Verification{}, fmt.Errorf("providertoken: verify %s: %w", shown(id), err)
	}
	return v, nil
}

func (s *Service) verifyAgain(ctx context.Context, owner lanyard.Owner, id string) (Verification, error) {
	row, err := s.store.ProviderToken(ctx, owner, id)
	if err != nil {
		return Verification{}, err
	}
	d, err := s.destination(row)
	if err != nil {
		return Verification{}, err
	}
	waited, err := s.place(ctx, id, d)
	if errors.Is(err, ErrRateLimited) {
		return Verification{Verdict: VerdictRateLimited, CheckedAt: s.now()}, nil
	}
	if err == nil && waited { // perhaps for long
		row, err = s.store.ProviderToken(ctx, owner, id)
	}
	if err != nil {
		return Verification{}, err
	}
	f, err := s.examine(ctx, row)
	if err != nil {
		return Verification{}, err
	}
	return s.note(ctx, row, f)
}

// place takes a place under the platform's limits and waits for it as long as a
// verification may take. It reports whether it had to.
func (s *Service) place(ctx context.Context, id string, d destination) (waited bool, err error) {
	ctx, cancel := s.limited(ctx)
	defer cancel()
	return s.line(id, d.offer.def.Limits).wait(ctx, true)
}

// examine asks the platform about a stored credential.
func (s *Service) examine(ctx context.Context, row store.ProviderToken) (finding, error) {
	d, err := s.destination(row)
	if err != nil {
		return finding{}, err
	}
	if err := s.active(ctx, row.Owner); err != nil {
		return finding{}, err
	}
	secrets, err := s.open(ctx, row, d, nil)
	if err != nil {
		return finding{}, err
	}
	// Which base is its own is open until one proved it.
	f, err := s.verify(ctx, d, secrets, row.Account.ID == "")
	if err == nil && f.verdict == VerdictOK && string(f.at.digest) != string(d.digest) {
		f.reseal = func(ctx context.Context, row *store.ProviderToken) error { return s.reseal(ctx, row, f.at, secrets) }
	}
	return f, err
}

// note stores what was found, if it decides anything.
func (s *Service) note(ctx context.Context, row store.ProviderToken, f finding) (Verification, error) {
	now := s.now()
	v := Verification{Verdict: f.verdict, Reason: f.reason, CheckedAt: now}
	action := ActionVerified
	switch {
	case f.verdict == VerdictOK:
		v.Account = &f.account
		row.Account = store.Account(f.account)
		if !f.expiresAt.IsZero() {
			row.ExpiresAt = store.Instant(f.expiresAt)
		}
		row.Fields, row.Origin = f.at.fields, f.at.base.origin.String()
		if f.reseal != nil {
			if err := f.reseal(ctx, &row); err != nil {
				return Verification{}, err
			}
		}
	case f.verdict.rejects():
		action = ActionNeedsAttention
	default:
		return v, nil
	}
	row.Verdict, row.Reason, row.CheckedAt = string(f.verdict), f.reason, now
	e := s.event(ctx, now, action, row)
	if action == ActionNeedsAttention {
		e = e.With(DetailVerdict, row.Verdict)
	}
	if err := s.saved(row, s.store.UpdateProviderToken(ctx, row, e)); err != nil {
		return Verification{}, err
	}
	s.onEvent(ctx, e)
	return v, nil
}

// dropEmpty leaves out optional values that are empty.
func dropEmpty(fields map[string]string) {
	maps.DeleteFunc(fields, func(_, v string) bool { return v == "" })
}

// merged returns the fields with the changes, in which an empty value removes.
func merged(fields, changes map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, fields)
	maps.Copy(out, changes)
	dropEmpty(out)
	return out
}
