package httpadapter

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

func (p *page) showKeys(q *pageCall) error {
	type row struct {
		Link              string // above its forms
		Name, Hint        string
		Scopes            []string
		Created           *timeView
		LastUsed, Expires *timeView
		From              string // the network of the last use
		Badge             *badge
		Replaced          *replacement
		Rotatable         bool
	}
	keys, err := p.h.config.APIKeys.Keys(q.r.Context(), q.caller.Owner)
	if err != nil {
		return err
	}
	successors := map[string]*apikey.Key{}
	for i := range keys {
		successors[keys[i].RotatedFrom] = &keys[i]
	}
	var content struct{ Keys []row }
	for _, k := range keys {
		content.Keys = append(content.Keys, row{
			Link: q.base + "api-keys/" + k.ID, Name: k.Name, Hint: k.Hint, Scopes: k.Scopes, Created: q.when(k.CreatedAt),
			LastUsed: q.when(k.LastUsedAt), From: k.LastUsedFrom, Expires: q.until(k.ExpiresAt), Badge: p.keyBadge(q, k),
			Replaced: p.replacementOf(q, k, successors[k.ID]), Rotatable: rotatable(k),
		})
	}
	return p.render(q, "keys", p.view(q, p.text.say("keys.title"), content))
}

func (p *page) keyBadge(q *pageCall, k apikey.Key) *badge {
	switch k.Status {
	case apikey.StatusExpired:
		return &badge{Tone: "bad", Text: p.text.say("keys.expired")}
	case apikey.StatusExpiring:
		return &badge{Tone: "warn", Text: p.expiresIn(q, "keys", k.ExpiresAt)}
	}
	return nil
}

// expiresIn says how many days are left, of a key or a connection.
func (p *page) expiresIn(q *pageCall, what string, t time.Time) string {
	days := q.daysUntil(t.Add(-time.Second), p.h.config.Now())
	if days <= 0 {
		return p.text.say(what + ".expires_today")
	}
	return p.text.say(what+".expires_in", "N", days)
}

// expiryID is the choice that an error about a key's life leads to.
const expiryID = "expiry-custom"

// keyForm is what the form for a new key holds.
type keyForm struct {
	nonce, name, expiry, date string
	scopes                    []string
}

func (p *page) showKeyNew(q *pageCall) error {
	_, chosen := p.lifeChoices(q)
	f := keyForm{nonce: lanyard.NewID(), expiry: chosen}
	return p.render(q, "key_new", p.keyFormView(q, f, formErrors{}))
}

func (p *page) keyFormView(q *pageCall, f keyForm, errs formErrors) view {
	type choice struct {
		ID, Value, Label, Result string
		Chosen                   bool
	}
	content := struct {
		Nonce                    string
		Name                     input
		Choices                  []choice
		CustomChosen             bool
		Custom, Today, Last      string
		ExpiryError, CustomError string
		Scopes                   []choice
		ScopesError              string
	}{
		Nonce: f.nonce,
		Name: input{
			ID: "name", Name: "name", Label: p.text.say("key_new.name"), Type: "text", Value: f.name,
			Hint: p.text.say("key_new.name_hint"), Placeholder: p.text.say("key_new.name_example"),
			Autocomplete: "off", Required: true, Error: errs.byField["name"], Focus: len(errs.summary) == 0,
		},
		CustomChosen: f.expiry == lifeCustom, Custom: f.date,
		Today: p.h.config.Now().In(q.zone()).Format(time.DateOnly), Last: p.lastDay(q),
		ExpiryError: errs.byField["expires_at"], ScopesError: errs.byField["scopes"],
	}
	if content.CustomChosen || f.date != "" {
		content.CustomError = content.ExpiryError
	}
	lives, _ := p.lifeChoices(q)
	for _, c := range lives {
		content.Choices = append(content.Choices, choice{
			ID: "expiry-" + c.value, Value: c.value, Label: c.label, Result: c.result, Chosen: f.expiry == c.value,
		})
	}
	for i, scope := range p.h.config.APIKeys.Scopes() {
		content.Scopes = append(content.Scopes, choice{
			ID: fmt.Sprint("scope-", i), Value: scope, Label: scope, Chosen: slices.Contains(f.scopes, scope),
		})
	}
	return p.view(q, p.text.say("key_new.title"), content)
}

func (p *page) createKey(q *pageCall) error {
	f := keyForm{
		nonce: q.form.Get("nonce"), name: q.form.Get("name"), expiry: q.form.Get("expiry"),
		date: q.form.Get("expires_on"), scopes: q.form["scope"],
	}
	if !possibleID(f.nonce) {
		return errProblem{problem{Code: codeMalformed}}
	}
	expires, badDate := p.expiry(q, f)
	if badDate != nil {
		var errs formErrors
		errs.addAt("expires_at", expiryID, badDate.Error())
		return p.refuse(q, "key_new", p.keyFormView(q, f, errs), errs)
	}
	made, err := p.h.config.APIKeys.Create(q.r.Context(), q.caller.Owner, apikey.CreateRequest{
		Name: f.name, ExpiresAt: expires, Scopes: f.scopes, IdempotencyKey: "form:" + f.nonce,
	})
	switch {
	case err == nil && made.Replayed:
		return p.showReplayed(q, made.Key.Name, made.Key.ID)
	case err == nil:
		return p.reveal(q, made.Key, made.Secret, "")
	case errors.Is(err, apikey.ErrIdempotencyMismatch), errors.Is(err, lanyard.ErrConflict):
		return p.showReplayed(q, "", "")
	case errors.Is(err, lanyard.ErrLimit):
		var errs formErrors
		errs.say(http.StatusConflict, p.text.say("key_new.error_limit", "N", p.h.config.APIKeys.Limit()))
		return p.refuse(q, "key_new", p.keyFormView(q, f, errs), errs)
	}
	errs, mine := p.formErrors(err, map[string]formField{
		"name":       {label: p.text.say("key_new.name")},
		"expires_at": {label: p.text.say("key_new.expiry"), id: expiryID},
		"scopes":     {label: p.text.say("key_new.scopes"), id: "scope-0"},
	})
	if !mine {
		return err
	}
	return p.refuse(q, "key_new", p.keyFormView(q, f, errs), errs)
}

// reveal shows a new key, once: the page is the answer to the POST, so it has
// no address to come back to. old is what becomes of the key that it replaces.
func (p *page) reveal(q *pageCall, k apikey.Key, secret lanyard.Secret, old string) error {
	v := p.view(q, p.text.say("reveal.title"), struct {
		Name, Key, Old string
		Expires        *timeView
		Snippets       snippets
	}{
		Name: k.Name, Key: secret.Reveal(), Old: old, Expires: q.until(k.ExpiresAt),
		Snippets: p.snippets(q, secret.Reveal()),
	})
	v.Status = http.StatusCreated
	return p.render(q, "key_reveal", v)
}

// replayed is the page of a form that has done its work already.
type replayed struct {
	Text, Advice string
	ID, Delete   string // of the key it made; "" = deleted since
}

// showReplayed answers a form that has made its key already.
func (p *page) showReplayed(q *pageCall, name, id string) error {
	content := replayed{
		Text: p.text.say("replayed.text"), Advice: p.text.say("replayed.advice"),
		ID: id, Delete: p.text.say("replayed.delete"),
	}
	if name != "" {
		content.Text = p.text.say("replayed.named", "Name", name)
	}
	return p.render(q, "key_replayed", p.view(q, p.text.say("replayed.title"), content))
}

func (p *page) showKeyRename(q *pageCall) error {
	k, err := p.h.config.APIKeys.Key(q.r.Context(), q.caller.Owner, q.id)
	if err != nil {
		return err
	}
	return p.render(q, "key_rename", p.renameForm(q, k, k.Version, k.Name, formErrors{}))
}

func (p *page) renameForm(q *pageCall, k apikey.Key, version int64, name string, errs formErrors) view {
	return p.view(q, p.text.say("key_rename.title", "Name", k.Name), struct {
		ID, Hint string
		Version  int64
		Name     input
	}{
		ID: k.ID, Hint: k.Hint, Version: version,
		Name: input{
			ID: "name", Name: "name", Label: p.text.say("key_new.name"), Type: "text", Value: name,
			Autocomplete: "off", Required: true, Error: errs.byField["name"], Focus: len(errs.summary) == 0,
		},
	})
}

func (p *page) renameKey(q *pageCall) error {
	version, err := q.version()
	if err != nil {
		return err
	}
	name := q.form.Get("name")
	_, err = p.h.config.APIKeys.Rename(q.r.Context(), q.caller.Owner, q.id, version, name)
	if err == nil {
		return q.done("api-keys", "key-renamed")
	}
	errs, mine := p.formErrors(staleForm(err), map[string]formField{"name": {label: p.text.say("key_new.name")}})
	if !mine {
		return err
	}
	k, readErr := p.h.config.APIKeys.Key(q.r.Context(), q.caller.Owner, q.id)
	if readErr != nil {
		return readErr
	}
	// The form now names the version there is: saving again replaces it.
	return p.refuse(q, "key_rename", p.renameForm(q, k, k.Version, name, errs), errs)
}

// deletion is the page that asks before something is deleted.
type deletion struct {
	Action, Warning, Submit, Back string
	Version                       int64
	Facts                         []fact
}

// fact is a line about what is there: a text, or a time.
type fact struct {
	Name, Text string
	Time       *timeView
	Code       bool
}

func (p *page) showKeyDelete(q *pageCall) error { return p.askKeyDelete(q, formErrors{}) }

func (p *page) askKeyDelete(q *pageCall, errs formErrors) error {
	k, err := p.h.config.APIKeys.Key(q.r.Context(), q.caller.Owner, q.id)
	if err != nil {
		return err
	}
	facts := []fact{
		{Name: p.text.say("key_delete.key"), Text: k.Hint + "…", Code: true},
		{Name: p.text.say("keys.created"), Time: q.when(k.CreatedAt)},
		{Name: p.text.say("keys.last_used"), Time: q.when(k.LastUsedAt), Text: p.text.say("keys.never_used")},
	}
	replaced, err := p.replaced(q, k)
	if err != nil {
		return err
	}
	if replaced != nil {
		facts = append(facts, fact{Name: p.text.say("key_delete.replaced"), Text: replaced.What + " " + replaced.Verdict})
	}
	v := p.view(q, p.text.say("key_delete.title", "Name", k.Name), deletion{
		Action: q.base + "api-keys/" + k.ID + "/delete", Back: q.base + "api-keys", Version: k.Version,
		Warning: p.text.say("key_delete.warning"), Submit: p.text.say("key_delete.submit", "Name", k.Name),
		Facts: facts,
	})
	if len(errs.summary) > 0 {
		return p.refuse(q, "delete", v, errs)
	}
	return p.render(q, "delete", v)
}

func (p *page) deleteKey(q *pageCall) error {
	version, err := q.version()
	if err != nil {
		return err
	}
	err = p.h.config.APIKeys.Delete(q.r.Context(), q.caller.Owner, q.id, version)
	if errors.Is(err, lanyard.ErrConflict) {
		var errs formErrors
		errs.say(http.StatusPreconditionFailed, p.text.say("key_delete.stale"))
		return p.askKeyDelete(q, errs)
	}
	if err != nil {
		return err
	}
	return q.done("api-keys", "key-deleted")
}
