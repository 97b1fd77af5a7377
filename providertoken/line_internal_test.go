package providertoken

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// However many connections there are, none gets its places under the platform's
// limit anew before its time; what is at rest is forgotten.
func TestLinesAreKeptWhileTheyCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Service{clock: time.Now, processes: 1, lines: map[string]*line{}}
		limits := Limits{PerMinute: 30}
		const n = 2*maxLines + 1
		busy := make([]*line, n)
		for i := range busy {
			busy[i] = s.line(strconv.Itoa(i), limits)
			if _, err := busy[i].wait(t.Context(), false); err != nil {
				t.Fatal(err)
			}
		}
		for i, l := range busy {
			if s.line(strconv.Itoa(i), limits) != l {
				t.Fatalf("the line of connection %d is another one", i)
			}
		}
		<-time.After(59 * time.Second)
		if !busy[0].mayProbe(s.now()) { // after an answer that took long
			t.Fatal("there is no place for a probe")
		}
		<-time.After(time.Minute - time.Second)
		for i := range n {
			s.line("other "+strconv.Itoa(i), limits)
		}
		if len(s.lines) > n+1 || s.lines["0"] != busy[0] {
			t.Errorf("%d lines are kept of %d that count, that of a probe a minute ago among them: %v", len(s.lines), n+1, s.lines["0"] == busy[0])
		}
	})
}
