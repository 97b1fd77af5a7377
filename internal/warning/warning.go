// Package warning says when the owner of something that ends is warned of it:
// within 30, 14, 7, 3 and 1 days, once each.
//
//	from, to := warning.Window(now) // what a sweep has to look at
//	days := warning.Due(now, key.CreatedAt, key.ExpiresAt)
package warning

import "time"

const day = 24 * time.Hour

// warnings are days before the end, the last first.
var warnings = [...]int{1, 3, 7, 14, 30}

// Window returns the first end that is warned of at the time now, and the end
// from which on nothing is.
func Window(now time.Time) (from, to time.Time) {
	// Stores tell times apart to the microsecond.
	return now.Add(time.Microsecond), now.Add(time.Duration(warnings[len(warnings)-1])*day + time.Microsecond)
}

// Due returns the nearest of the days that what began and ends then is
// within, or 0: where there is none, and where the nearest was not ahead any more
// when it began.
func Due(now, began, ends time.Time) (days int) {
	for _, days := range warnings {
		ahead := time.Duration(days) * day
		if ends.Sub(now) > ahead {
			continue
		}
		if ends.Sub(began) <= ahead {
			return 0
		}
		return days
	}
	return 0
}
