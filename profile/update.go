package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/input"
	"github.com/aichub/lanyard/store"
)

// maxName is the longest name a user may write, in characters.
const maxName = 100

// Update is what a user changes. A nil Edit leaves that name as it is.
type Update struct {
	GivenName  *Edit
	FamilyName *Edit
}

// Edit is one change of one name. Make it with [Set] or [FromDirectory].
type Edit struct {
	value     string
	directory bool
}

// Set makes a name what the user wrote; "" is a name too. A name is one line of
// visible text, at most 100 characters without the white space around it.
func Set(value string) *Edit { return &Edit{value: value} }

// FromDirectory goes back to the name the identity provider says.
func FromDirectory() *Edit { return &Edit{directory: true} }

// Update changes names. A version other than 0 must be the profile's, else
// lanyard.ErrConflict. A change that changes nothing writes nothing; to set the
// name the directory says is one, and leaves it the directory's.
func (s *Service) Update(ctx context.Context, owner lanyard.Owner, version int64, u Update) (_ Profile, err error) {
	ctx, end := s.spans.Start(ctx, "profile.Update")
	defer end(&err)
	given, givenErr := u.GivenName.check("given_name")
	family, familyErr := u.FamilyName.check("family_name")
	if err := errors.Join(givenErr, familyErr); err != nil {
		return Profile{}, fmt.Errorf("profile: update: %w", err)
	}
	for attempt := 1; ; attempt++ {
		r, err := s.store.Profile(ctx, owner)
		if err == nil && version != 0 && version != r.Version {
			err = lanyard.ErrConflict
		}
		if err != nil {
			return Profile{}, fmt.Errorf("profile: update: %w", err)
		}
		edited := r
		edited.GivenName = given.apply(r.GivenName, r.Directory.Given)
		edited.FamilyName = family.apply(r.FamilyName, r.Directory.Family)
		r, err = s.save(ctx, r, edited, ActionUpdated)
		if errors.Is(err, lanyard.ErrConflict) && version == 0 && attempt < attempts {
			continue
		}
		if err != nil {
			return Profile{}, fmt.Errorf("profile: update: %w", err)
		}
		return fromRecord(r), nil
	}
}

// check returns e with its value as it will be kept.
func (e *Edit) check(field string) (*Edit, error) {
	if e == nil || e.directory {
		return e, nil
	}
	value, err := input.Name(field, e.value, maxName)
	return Set(value), err
}

// apply returns what the user's name becomes; nil is the directory's.
func (e *Edit) apply(edited *string, directory string) *string {
	switch {
	case e == nil:
		return edited
	case e.directory:
		return nil
	case edited == nil && e.value == directory:
		return nil
	}
	return &e.value
}

// unseen are the fields that no answer shows. A change of them alone moves no
// version, so that a login does not make an open form stale. An edit that was
// read before such a change puts the old value back; the next sight mends it.
var unseen = []string{"directory", "locale", "zoneinfo"}

// save stores what changed between was and is, with an event that names the
// fields where one of them is seen, and returns the profile that is stored
// then. Where nothing changed it writes nothing.
func (s *Service) save(ctx context.Context, was, is store.Profile, action string) (store.Profile, error) {
	fields := changedFields(was, is)
	if len(fields) == 0 {
		return was, nil
	}
	if !slices.ContainsFunc(fields, func(f string) bool { return !slices.Contains(unseen, f) }) {
		return is, s.store.RefreshProfile(ctx, is)
	}
	is.UpdatedAt = s.now()
	e := lanyard.NewEvent(ctx, is.UpdatedAt, is.Owner, action, "").With(DetailFields, strings.Join(fields, " "))
	if err := s.store.UpdateProfile(ctx, is, e); err != nil {
		return store.Profile{}, err
	}
	s.onEvent(ctx, e)
	is.Version++
	return is, nil
}

// changedFields names what differs as the owner sees it, in the words of the
// HTTP API. "name" is the full name where it changed by itself; "directory"
// stands for names of which nothing is to be seen because edited ones hide them.
func changedFields(was, is store.Profile) []string {
	a, b := fromRecord(was), fromRecord(is)
	var fields []string
	differs := func(name string, same bool) {
		if !same {
			fields = append(fields, name)
		}
	}
	differs("given_name", a.GivenName == b.GivenName && a.GivenNameEdited == b.GivenNameEdited)
	differs("family_name", a.FamilyName == b.FamilyName && a.FamilyNameEdited == b.FamilyNameEdited)
	if len(fields) == 0 && a.Directory != b.Directory {
		differs("name", a.Name == b.Name)
		differs("directory", len(fields) > 0)
	}
	differs("email", a.Email == b.Email)
	differs("email_verified", a.EmailVerified == b.EmailVerified)
	differs("locale", a.Locale == b.Locale)
	differs("zoneinfo", a.ZoneInfo == b.ZoneInfo)
	return fields
}
