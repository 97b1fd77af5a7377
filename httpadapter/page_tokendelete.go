package httpadapter

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
)

func (p *page) showTokenDelete(q *pageCall) error { return p.askTokenDelete(q, formErrors{}) }

func (p *page) askTokenDelete(q *pageCall, errs formErrors) error {
	t, err := p.h.config.ProviderTokens.Token(q.r.Context(), q.caller.Owner, q.id)
	if err != nil {
		return err
	}
	name, revokes := p.revokes(t)
	warning := "token_delete.warning"
	switch {
	case revokes:
		warning = "token_delete.warning_revokes"
	case t.RevokeURL != "":
		warning = "token_delete.warning_address"
	}
	named := []any{"Provider", name, "Label", t.Label}
	ask := deletion{
		Action: q.base + "provider-tokens/" + t.ID + "/delete", Back: q.base + "provider-tokens", Version: t.Version,
		Warning: p.text.say(warning, named...), Submit: p.text.say("token_delete.submit", named...),
		Facts: []fact{{Name: p.text.say("token_delete.provider"), Text: name}},
	}
	if t.Label != "" {
		ask.Facts = append(ask.Facts, fact{Name: p.text.say("token_delete.label"), Text: t.Label})
	}
	if who := accountName(t.Account); who != "" {
		ask.Facts = append(ask.Facts, fact{Name: p.text.say("token_delete.account"), Text: who})
	}
	if t.Origin != "" {
		ask.Facts = append(ask.Facts, fact{Name: p.text.say("token_delete.origin"), Text: strings.TrimPrefix(t.Origin, "https://")})
	}
	v := p.view(q, p.text.say("token_delete.title", named...), ask)
	if len(errs.summary) > 0 {
		return p.refuse(q, "delete", v, errs)
	}
	return p.render(q, "delete", v)
}

// revokes returns the provider's name, and whether deleting a connection ends its
// token at the platform too.
func (p *page) revokes(t providertoken.Token) (name string, revokes bool) {
	provider, ok := p.provider(t.ProviderID)
	if !ok {
		return t.ProviderID, false
	}
	method, _ := methodOf(provider, t.MethodID)
	return provider.Name, method.Revokes && t.Status != providertoken.StatusNotOffered
}

func (p *page) deleteToken(q *pageCall) error {
	version, err := q.version()
	if err != nil {
		return err
	}
	// Where the token can be revoked is not known any more once it is deleted.
	t, err := p.h.config.ProviderTokens.Token(q.r.Context(), q.caller.Owner, q.id)
	if errors.Is(err, lanyard.ErrNotFound) {
		if e, was := p.deleted(q); was {
			return p.showDeletedBefore(q, e)
		}
	}
	if err != nil {
		return err
	}
	err = p.h.config.ProviderTokens.Delete(q.r.Context(), q.caller.Owner, q.id, version)
	if errors.Is(err, lanyard.ErrConflict) {
		var errs formErrors
		errs.say(http.StatusPreconditionFailed, p.text.say("token_delete.stale"))
		return p.askTokenDelete(q, errs)
	}
	if err != nil {
		return err
	}
	name, revokes := p.revokes(t)
	if revokes && p.wasRevoked(q) {
		return q.done("provider-tokens", "token-revoked-deleted", "provider", t.ProviderID)
	}
	dead := t.Verdict == providertoken.VerdictExpired || t.Reason == reasonRevoked
	if dead || t.RevokeURL == "" {
		return q.done("provider-tokens", "token-deleted")
	}
	return p.showRevoke(q, t, name, revokes)
}

// wasRevoked reports whether the platform ended the token that was deleted just
// now.
func (p *page) wasRevoked(q *pageCall) bool {
	e, found := p.deleted(q) // and else he is told to do it himself
	return found && e.Detail[providertoken.DetailRevoked] == "yes"
}

// deleted returns what the newest part of the history has of the deletion of
// what the address names.
func (p *page) deleted(q *pageCall) (lanyard.Event, bool) {
	activity, err := p.h.config.Profiles.Activity(q.r.Context(), q.caller.Owner, profile.Page{})
	if err != nil {
		return lanyard.Event{}, false
	}
	for _, e := range activity.Events {
		if e.Action == providertoken.ActionDeleted && e.Object == q.id {
			return e, true
		}
	}
	return lanyard.Event{}, false
}

// showDeletedBefore answers a form that was sent a second time, as by loading its
// answer again. Where the token can be revoked is not known any more.
func (p *page) showDeletedBefore(q *pageCall, e lanyard.Event) error {
	name := e.Detail[providertoken.DetailProvider]
	if provider, ok := p.provider(name); ok {
		name = provider.Name
	}
	text := "token_deleted.before"
	if e.Detail[providertoken.DetailRevoked] == "yes" {
		text = "token_deleted.before_revoked"
	}
	v := p.view(q, p.text.say("token_deleted.before_title", "Provider", name, "Label", e.Detail[providertoken.DetailLabel]), revocation{
		Text: p.text.say(text, "Provider", name, "Date", q.day(e.At)), Back: q.base + "provider-tokens",
	})
	v.Status, v.FocusTitle = http.StatusNotFound, true
	return p.render(q, "token_deleted", v)
}

// revocation is what the page shows of a token that is deleted.
type revocation struct {
	Text, Link string
	Address    string // "" = unknown
	Back       string
}

// showRevoke says that the token is gone from here and not from its platform,
// and where its owner ends it there. It is the answer to the form: an address
// that carried where to go could be made up by somebody else.
func (p *page) showRevoke(q *pageCall, t providertoken.Token, name string, tried bool) error {
	why := "token_deleted.revoke"
	if tried {
		why = "token_deleted.not_revoked"
	}
	v := p.view(q, p.text.say("token_deleted.title", "Provider", name, "Label", t.Label), revocation{
		Text: p.text.say(why, "Provider", name), Link: p.text.say("token_deleted.link", "Provider", name),
		Address: t.RevokeURL, Back: q.base + "provider-tokens",
	})
	v.Flash, v.FocusTitle = p.text.say("done.token-deleted"), true
	return p.render(q, "token_deleted", v)
}
