package httpadapter

import (
	"errors"
	"net/url"

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
		return q.redirect("profile/edit", nil)
	}
	if err != nil {
		return err
	}
	return q.done("", "profile-directory")
}

func (p *page) showActivity(q *pageCall) error {
	type row struct {
		What, Object  string
		At            *timeView
		How           string
		IP, UserAgent string
	}
	token := q.r.URL.Query().Get("page_token")
	history, err := p.h.config.Profiles.Activity(q.r.Context(), q.caller.Owner, profile.Page{Token: token})
	if problemOf(err).Code == codeInvalidInput {
		return errProblem{problem{Code: codeNotFound}}
	}
	if err != nil {
		return err
	}
	var content struct {
		Events       []row
		First, Older string
	}
	for _, e := range history.Events {
		what := e.Action
		if id := "activity.action." + e.Action; p.text.has(id) {
			what = p.text.say(id)
		}
		object := e.Detail["name"]
		if object == "" {
			object = e.Detail["provider"]
		}
		content.Events = append(content.Events, row{
			What: what, Object: object, At: q.when(e.At), How: p.text.say("activity.via." + string(e.Via)),
			IP: e.IP, UserAgent: e.UserAgent,
		})
	}
	if token != "" {
		content.First = q.base + "activity"
	}
	if history.Next != "" {
		content.Older = q.base + "activity?" + url.Values{"page_token": {history.Next}}.Encode()
	}
	return p.render(q, "activity", p.view(q, p.text.say("activity.title"), content))
}

func (p *page) showDocs(q *pageCall) error {
	content := struct {
		Links    []Link
		Snippets *snippets
	}{Links: p.h.config.Docs}
	if p.h.config.APIKeys != nil {
		s := p.snippets(q, "")
		content.Snippets = &s
	}
	return p.render(q, "docs", p.view(q, p.text.say("docs.title"), content))
}

// snippets is code that calls us, with a key filled in or from the environment.
type snippets struct {
	Key         string // "" = from the environment
	Variable    string
	Placeholder string
	Path        string // relative, for script
	URL         string // as far as we can see it from here
}
