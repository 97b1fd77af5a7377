package warning_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aichub/lanyard/internal/warning"
)

const day = 24 * time.Hour

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func ExampleDue() {
	made, ends := now.Add(-60*day), now.Add(5*day)
	fmt.Println(warning.Due(now, made, ends))
	// Output: 7
}

func TestDue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		life, left time.Duration
		want       int
	}{
		{365 * day, 30*day + time.Microsecond, 0},
		{365 * day, 30 * day, 30},
		{365 * day, 14*day + time.Microsecond, 30},
		{365 * day, 14 * day, 14},
		{365 * day, 7 * day, 7},
		{365 * day, 3 * day, 3},
		{365 * day, day + time.Microsecond, 3},
		{365 * day, day, 1},
		{365 * day, time.Microsecond, 1},
		{2 * day, 2 * day, 0}, // it began within three days of its end
		{2 * day, day, 1},
		{day, time.Hour, 0},
		{day + time.Microsecond, time.Hour, 1},
	} {
		ends := now.Add(tt.left)
		if got := warning.Due(now, ends.Add(-tt.life), ends); got != tt.want {
			t.Errorf("Due() of what lasts %v and has %v left = %d, want %d", tt.life, tt.left, got, tt.want)
		}
	}
}

// Inside the window something may be warned of, at its edges nothing.
func TestWindow(t *testing.T) {
	t.Parallel()
	from, to := warning.Window(now)
	if !from.Equal(now.Add(time.Microsecond)) {
		t.Errorf("Window() begins at %v, want a microsecond after %v", from, now)
	}
	began := now.Add(-365 * day)
	if last := to.Add(-time.Microsecond); warning.Due(now, began, last) != 30 || warning.Due(now, began, to) != 0 {
		t.Errorf("Window() ends at %v, want the first end that is not warned of", to)
	}
}
