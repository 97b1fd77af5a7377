package httpadapter

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

const day = 24 * time.Hour

// lifeSlack is by how much a key may outlive apikey.Options.MaxLife, so that it
// can live to the end of its last day.
const lifeSlack = day

// commonLives are the lives that the form for a new key offers where the policy
// allows them. Beside them stand the policy's own, a date and never.
var commonLives = []time.Duration{30 * day, 60 * day, 90 * day, 365 * day}

// usualLife is chosen where the policy has no default.
const usualLife = 90 * day

// The choices of a key's life besides a number of days.
const (
	lifeDefault = "default" // the policy's, where it is no whole number of days
	lifeNever   = "never"
	lifeCustom  = "custom"
)

// lifeChoice is how long a new key may live.
type lifeChoice struct {
	value, label, result string
	ends                 time.Time // zero = as the policy says, and without one never
}

// lifeChoices are those of the policy, the shortest first, and the one that is
// chosen before anybody chose.
func (p *page) lifeChoices(q *pageCall) (choices []lifeChoice, chosen string) {
	now, usual, longest := p.h.config.Now(), p.h.config.APIKeys.DefaultLife(), p.h.config.APIKeys.MaxLife()
	lives := slices.Clone(commonLives)
	if usual > 0 && !slices.Contains(lives, usual) {
		lives = append(lives, usual)
		slices.Sort(lives)
	}
	for _, life := range lives {
		if longest > 0 && life > longest {
			break
		}
		c := lifeChoice{label: p.span(life)}
		if life%day == 0 {
			c.value = strconv.Itoa(int(life / day))
			c.ends = q.endOfDay(now, int(life/day))
			if latest := now.Add(longest).Add(lifeSlack); longest > 0 && c.ends.After(latest) {
				c.ends = latest // a day of 25 hours lies between
			}
			c.result = p.text.say("key_new.until", "Date", q.day(c.ends.Add(-time.Second)))
		} else {
			c.value = lifeDefault
			c.result = p.text.say("key_new.until", "Date", q.when(now.Add(life)).Text)
		}
		if life == usual || usual == 0 && life == usualLife {
			chosen = c.value
		}
		choices = append(choices, c)
	}
	if usual == 0 {
		choices = append(choices, lifeChoice{value: lifeNever, label: p.text.say("key_new.never"), result: p.text.say("key_new.never_hint")})
	}
	return choices, chosen
}

// lastDay is the last day that a key may be given; "" = any.
func (p *page) lastDay(q *pageCall) string {
	longest := p.h.config.APIKeys.MaxLife()
	if longest <= 0 {
		return ""
	}
	now := p.h.config.Now()
	last := midnight(now.Add(longest).In(q.zone()))
	if last.AddDate(0, 0, 1).After(now.Add(longest).Add(lifeSlack)) {
		last = last.AddDate(0, 0, -1) // as above
	}
	return last.Format(time.DateOnly)
}

// span says how long something lasts.
func (p *page) span(d time.Duration) string {
	switch {
	case d == 365*day:
		return p.text.say("span.year")
	case d%day == 0:
		return p.text.say("span.days", "N", int(d/day))
	case d >= time.Hour:
		return p.text.say("span.hours", "N", int(d.Round(time.Hour)/time.Hour))
	}
	return p.text.say("span.minutes", "N", max(1, int(d.Round(time.Minute)/time.Minute)))
}

// endOfDay is when the day that many days from now ends, in the user's zone.
func (q *pageCall) endOfDay(now time.Time, days int) time.Time {
	return midnight(now.In(q.zone())).AddDate(0, 0, days+1)
}

// expiry reads the choice. A key lives to the end of the day it names. A date
// beside another choice is refused: one of the two is not meant.
func (p *page) expiry(q *pageCall, f keyForm) (time.Time, error) {
	if f.expiry == lifeCustom {
		return p.customExpiry(q, f.date)
	}
	if f.date != "" {
		return time.Time{}, errors.New(p.text.say("key_new.error_both"))
	}
	choices, _ := p.lifeChoices(q)
	for _, c := range choices {
		if f.expiry == c.value {
			return c.ends, nil
		}
	}
	return time.Time{}, errors.New(p.text.say("key_new.error_expiry"))
}

func (p *page) customExpiry(q *pageCall, date string) (time.Time, error) {
	first, err := time.ParseInLocation(time.DateOnly, date, q.zone())
	end := first.AddDate(0, 0, 1)
	if err != nil || !end.After(p.h.config.Now()) {
		return time.Time{}, errors.New(p.text.say("key_new.error_date"))
	}
	if last := p.lastDay(q); last != "" && date > last {
		return time.Time{}, errors.New(p.text.say("key_new.error_late"))
	}
	return end, nil
}
