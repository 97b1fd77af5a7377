package apikey_test

import (
	"testing"

	"github.com/aichub/lanyard/apikey"
)

func BenchmarkVerify(b *testing.B) {
	for name, signed := range map[string]bool{"plain": false, "signed": true} {
		b.Run(name, func(b *testing.B) {
			bench := newBench(b, nil)
			if signed {
				bench, _, _ = newSigned(b)
			}
			_, token := bench.create(b, ana, apikey.CreateRequest{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bench.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyMalformed(b *testing.B) {
	bench := newBench(b, nil)
	_, token := bench.create(b, ana, apikey.CreateRequest{})
	token = token[:len(token)-1] + "-"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bench.Verify(b.Context(), token); err == nil {
			b.Fatal("a malformed token was accepted")
		}
	}
}
