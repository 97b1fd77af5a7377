package httpadapter

import (
	"testing"
	"time"
)

func BenchmarkSay(b *testing.B) {
	l, err := newLanguages(Config{})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, say := range map[string]func(*texts){
		"plain":  func(t *texts) { t.say("keys.title") },
		"filled": func(t *texts) { t.say("keys.key_named", "Name", "ci") },
		"plural": func(t *texts) { t.say("span.days", "N", 7) },
		"moment": func(t *texts) { t.moment(at) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				say(l.all[1])
			}
		})
	}
}
