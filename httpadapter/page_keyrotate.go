package httpadapter

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// graces are how long a rotated key may go on, and usualGrace the one that is
// chosen first.
var graces = []time.Duration{0, time.Hour, day, 7 * day, 30 * day}

const usualGrace = day

// graceID is the choice that an error about the grace leads to.
const graceID = "grace-0"

// graceChoice is one answer to "how long does the old key go on".
type graceChoice struct {
	ID, Value, Label, Result string
	Chosen                   bool
}

// rotatable reports whether a key can be rotated: it is alive and has no
// successor.
func rotatable(k apikey.Key) bool { return k.Status != apikey.StatusExpired && k.RotatedTo == "" }

func (p *page) showKeyRotate(q *pageCall) error {
	return p.askKeyRotate(q, strconv.Itoa(int(usualGrace/time.Second)), formErrors{})
}

// askKeyRotate shows the form, or why there is none.
func (p *page) askKeyRotate(q *pageCall, chosen string, errs formErrors) error {
	k, err := p.h.config.APIKeys.Key(q.r.Context(), q.caller.Owner, q.id)
	switch {
	case err != nil:
		return err
	case k.RotatedTo != "":
		return p.showRotated(q, k)
	case !rotatable(k):
		errs = formErrors{}
		errs.say(http.StatusConflict, p.text.say("key_rotate.expired"))
	}
	v := p.view(q, p.text.say("key_rotate.title", "Name", k.Name), struct {
		ID, Hint   string
		Version    int64
		LastUsed   *timeView
		From       string
		Graces     []graceChoice
		GraceError string
	}{
		ID: k.ID, Hint: k.Hint, Version: k.Version, LastUsed: q.when(k.LastUsedAt), From: k.LastUsedFrom,
		Graces: p.graceChoices(q, k, chosen), GraceError: errs.byField["grace_seconds"],
	})
	if len(errs.summary) > 0 {
		return p.refuse(q, "key_rotate", v, errs)
	}
	return p.render(q, "key_rotate", v)
}

// graceChoices are those that differ: none lasts longer than the key would
// anyway, but for the first that does.
func (p *page) graceChoices(q *pageCall, k apikey.Key, chosen string) (choices []graceChoice) {
	if !rotatable(k) {
		return nil
	}
	now := p.h.config.Now()
	found := false
	for _, grace := range graces {
		value := strconv.Itoa(int(grace / time.Second))
		end := now.Add(grace)
		last := !k.ExpiresAt.IsZero() && !end.Before(k.ExpiresAt)
		if last {
			end = k.ExpiresAt
		}
		c := graceChoice{
			ID: "grace-" + value, Value: value, Chosen: value == chosen,
			Label: p.span(grace), Result: p.text.say("key_new.until", "Date", q.when(end).Text),
		}
		if grace == 0 {
			c.Label, c.Result = p.text.say("key_rotate.at_once"), p.text.say("key_rotate.at_once_hint")
		}
		found = found || c.Chosen
		choices = append(choices, c)
		if last {
			break
		}
	}
	if !found {
		choices[len(choices)-1].Chosen = true
	}
	return choices
}

// rotateKey makes the successor and shows it, once. The version in the form
// makes a second one impossible: the first rotation moved it.
func (p *page) rotateKey(q *pageCall) error {
	version, err := q.version()
	if err != nil {
		return err
	}
	chosen := q.form.Get("grace")
	grace, ok := readGrace(chosen)
	if !ok {
		var errs formErrors
		errs.addAt("grace_seconds", graceID, p.text.say("key_rotate.error_grace"))
		return p.askKeyRotate(q, chosen, errs)
	}
	made, err := p.h.config.APIKeys.Rotate(q.r.Context(), q.caller.Owner, q.id, apikey.RotateRequest{Grace: grace, Version: version})
	if err == nil {
		return p.revealRotated(q, made)
	}
	if errors.Is(err, lanyard.ErrLimit) {
		var errs formErrors
		errs.say(http.StatusConflict, p.text.say("key_new.error_limit", "N", p.h.config.APIKeys.Limit()))
		return p.askKeyRotate(q, chosen, errs)
	}
	errs, mine := p.formErrors(staleForm(err), nil)
	if !mine {
		return err
	}
	if errs.status == http.StatusPreconditionFailed {
		errs = formErrors{}
		errs.say(http.StatusPreconditionFailed, p.text.say("key_rotate.stale"))
	}
	return p.askKeyRotate(q, chosen, errs)
}

func readGrace(value string) (time.Duration, bool) {
	for _, grace := range graces {
		if value == strconv.Itoa(int(grace/time.Second)) {
			return grace, true
		}
	}
	return 0, false
}

// revealRotated shows a successor as a new key, and how long the old one goes
// on.
func (p *page) revealRotated(q *pageCall, made apikey.Rotated) error {
	old := p.text.say("reveal.old_ended")
	if made.OldExpiresAt.After(p.h.config.Now()) {
		old = p.text.say("reveal.old_until", "Date", q.when(made.OldExpiresAt).Text)
	}
	return p.reveal(q, made.Key, made.Secret, old)
}

// showRotated answers for a key that has a successor already.
func (p *page) showRotated(q *pageCall, k apikey.Key) error {
	next, err := p.h.config.APIKeys.Key(q.r.Context(), q.caller.Owner, k.RotatedTo)
	if err != nil {
		return err
	}
	advice := p.text.say("rotated.advice")
	if k.Status == apikey.StatusExpired {
		advice = p.text.say("replayed.advice")
	}
	return p.render(q, "key_replayed", p.view(q, p.text.say("rotated.title"), replayed{
		Text: p.text.say("rotated.text", "Name", next.Name, "Hint", next.Hint), Advice: advice,
		ID: next.ID, Delete: p.text.say("rotated.delete"),
	}))
}

// replacement is what became of a key that was rotated.
type replacement struct {
	What    string // what replaced it, and when
	Verdict string // whether it can go
	InUse   bool   // something still uses it
}

// replacementOf says whether a rotated key is safe to delete; nil for a key
// that was not rotated. next is its successor, if that is there.
func (p *page) replacementOf(q *pageCall, k apikey.Key, next *apikey.Key) *replacement {
	if k.RotatedAt.IsZero() {
		return nil
	}
	r := &replacement{What: p.text.say("keys.replaced_deleted", "Date", q.day(k.RotatedAt))}
	if next != nil {
		r.What = p.text.say("keys.replaced", "Hint", next.Hint, "Date", q.day(k.RotatedAt))
	}
	ended := k.Status == apikey.StatusExpired
	switch {
	case k.UsedSinceRotation() && ended:
		r.Verdict = p.text.say("keys.used_to_the_end")
	case k.UsedSinceRotation():
		r.Verdict, r.InUse = p.text.say("keys.still_used"), true
	case ended:
		r.Verdict = p.text.say("keys.unused_ended")
	default:
		r.Verdict = p.text.say("keys.unused")
	}
	return r
}

// replaced is replacementOf for a key alone.
func (p *page) replaced(q *pageCall, k apikey.Key) (*replacement, error) {
	if k.RotatedTo == "" {
		return p.replacementOf(q, k, nil), nil
	}
	next, err := p.h.config.APIKeys.Key(q.r.Context(), q.caller.Owner, k.RotatedTo)
	if errors.Is(err, lanyard.ErrNotFound) {
		return p.replacementOf(q, k, nil), nil // deleted since
	}
	return p.replacementOf(q, k, &next), err
}
