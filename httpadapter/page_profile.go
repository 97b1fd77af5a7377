package httpadapter

import (
	"errors"
	"net/http"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
)

func (p *page) showProfile(q *pageCall) error {
	me := q.caller.profile
	content := struct{ Name, DirectoryName, Email, Zone string }{Name: me.Name, Email: me.Email, Zone: me.ZoneInfo}
	if me.GivenNameEdited || me.FamilyNameEdited {
		content.DirectoryName = directoryName(me)
	}
	return p.render(q, "profile", p.view(q, p.text.say("profile.title"), content))
}

func directoryName(me profile.Profile) string {
	if me.Directory.Full != "" {
		return me.Directory.Full
	}
	if me.Directory.Given != "" && me.Directory.Family != "" {
		return me.Directory.Given + " " + me.Directory.Family
	}
	return me.Directory.Given + me.Directory.Family
}

func (p *page) showProfileEdit(q *pageCall) error {
	me := q.caller.profile
	return p.render(q, "profile_edit", p.profileForm(q, me.GivenName, me.FamilyName, formErrors{}))
}

// profileForm shows the two names as they were typed or are stored.
func (p *page) profileForm(q *pageCall, given, family string, errs formErrors) view {
	me := q.caller.profile
	field := func(name, label, value, autocomplete string) input {
		return input{
			ID: name, Name: name, Label: p.text.say(label), Type: "text", Value: value,
			Autocomplete: autocomplete, Optional: true, Error: errs.byField[name],
		}
	}
	first := field("given_name", "profile.given_name", given, "given-name")
	first.Focus = len(errs.summary) == 0
	return p.view(q, p.text.say("profile.edit_title"), struct {
		Version               int64
		GivenName, FamilyName input
		Overridden            bool
		DirectoryName         string
	}{
		Version: me.Version, GivenName: first,
		FamilyName:    field("family_name", "profile.family_name", family, "family-name"),
		Overridden:    me.GivenNameEdited || me.FamilyNameEdited,
		DirectoryName: directoryName(me),
	})
}

func (p *page) saveProfile(q *pageCall) error {
	me := q.caller.profile
	given, family := q.form.Get("given_name"), q.form.Get("family_name")
	version, err := q.version()
	if err == nil {
		err = staleForm(p.updateNames(q, version, me, given, family))
	}
	if err == nil {
		return q.done("", "profile-saved")
	}
	errs, mine := p.formErrors(err, map[string]formField{
		"given_name": {label: p.text.say("profile.given_name")}, "family_name": {label: p.text.say("profile.family_name")},
	})
	if !mine {
		return err
	}
	return p.refuse(q, "profile_edit", p.profileForm(q, given, family, errs), errs)
}

// updateNames changes the names that differ from what is shown, so that saving
// an untouched form does not make the directory's name the user's own.
func (p *page) updateNames(q *pageCall, version int64, me profile.Profile, given, family string) error {
	var change profile.Update
	if given != me.GivenName {
		change.GivenName = profile.Set(given)
	}
	if family != me.FamilyName {
		change.FamilyName = profile.Set(family)
	}
	_, err := p.h.config.Profiles.Update(q.r.Context(), q.caller.Owner, version, change)
	return err
}

func (p *page) resetProfile(q *pageCall) error {
	version, err := q.version()
	if err != nil {
		return err
	}
	_, err = p.h.config.Profiles.Update(q.r.Context(), q.caller.Owner, version, profile.Update{
		GivenName: profile.FromDirectory(), FamilyName: profile.FromDirectory(),
	})
	if errors.Is(err, lanyard.ErrConflict) {
		var errs formErrors
		errs.say(http.StatusPreconditionFailed, p.text.say("profile.directory_stale"))
		me := q.caller.profile
		return p.refuse(q, "profile_edit", p.profileForm(q, me.GivenName, me.FamilyName, errs), errs)
	}
	if err != nil {
		return err
	}
	return q.done("", "profile-directory")
}
