package apikey

import (
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

// Ids and secrets are drawn evenly and never twice.
func TestNewTokenIsRandom(t *testing.T) {
	t.Parallel()
	const draws = 100_000
	var counts [idLen + secretLen][256]int
	ids, secrets := make(map[string]bool, draws), make(map[string]bool, draws)
	for range draws {
		drawn := newToken("aic")
		random := drawn.text[len("aic_") : len("aic_")+idLen+secretLen]
		ids[random[:idLen]], secrets[random[idLen:]] = true, true
		for i := range len(random) {
			counts[i][random[i]]++
		}
	}
	if len(ids) != draws || len(secrets) != draws {
		t.Errorf("of %d tokens %d ids and %d secrets differ, want all", draws, len(ids), len(secrets))
	}

	// χ² of 61 degrees of freedom exceeds 150 once in 10^9 draws; characters
	// taken by b % 62 from a byte give more than 1000 in every position.
	const limit = 150
	var all [256]int
	for position, count := range counts {
		if x := chiSquared(count[:]); x > limit {
			t.Errorf("χ² of position %d = %.0f, want at most %d", position, x, limit)
		}
		for c, n := range count {
			all[c] += n
		}
	}
	if x := chiSquared(all[:]); x > limit {
		t.Errorf("χ² of all positions = %.0f, want at most %d", x, limit)
	}
}

// chiSquared compares counts, by character, with equal shares for base62.
func chiSquared(counts []int) float64 {
	total := 0
	for _, n := range counts {
		total += n
	}
	share, sum := float64(total)/float64(len(base62)), 0.0
	for c, n := range counts {
		if strings.IndexByte(base62, byte(c)) < 0 {
			if n > 0 {
				return float64(total)
			}
			continue
		}
		d := float64(n) - share
		sum += d * d / share
	}
	return sum
}

// The checksum is the number CRC-32 gives, written in base62 with six digits.
func TestChecksum(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "a", "aic_4fJr0c9wTq", strings.Repeat("x", 49)} {
		value := new(big.Int)
		for _, c := range checksum(body) {
			value.Mul(value, big.NewInt(62))
			value.Add(value, big.NewInt(int64(strings.IndexRune(base62, c))))
		}
		if want := int64(crc32.ChecksumIEEE([]byte(body))); value.Int64() != want || len(checksum(body)) != sumLen {
			t.Errorf("checksum(%q) = %q, which is %v, want six digits of %d", body, checksum(body), value, want)
		}
	}
}

// The format is for ever: tokens that were issued once are read by every later
// version.
func TestParseKnownTokens(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]token{
		"lyd_" + "0123456789" + strings.Repeat("A", 30) + "2Jap2z":      {prefix: "lyd", id: "0123456789"},
		"aic_v2_" + "zzzzzzzzzz" + strings.Repeat("z", 30) + "1mluX9":   {prefix: "aic_v2", id: "zzzzzzzzzz"},
		"eight_ch_" + "AAAAAAAAAA" + strings.Repeat("0", 30) + "1Qjg3X": {prefix: "eight_ch", id: "AAAAAAAAAA"},
	} {
		got, ok := parseToken(text, []string{"lyd", "aic_v2", "eight_ch"})
		want.text = text
		if !ok || got != want {
			t.Errorf("parseToken(%q) = %+v, %t, want %+v; its checksum is %s", text, got, ok, want, checksum(text[:len(text)-sumLen]))
		}
	}
}

func FuzzAPIKeyParse(f *testing.F) {
	prefixes := []string{"aic", "a", "a_b", "eight_ch"}
	pattern := regexp.MustCompile(`^(?:aic|a|a_b|eight_ch)_[0-9A-Za-z]{46}$`)
	for _, prefix := range prefixes {
		body := prefix + "_4fJr0c9wTq" + strings.Repeat("s", 30)
		f.Add(body + checksum(body))
	}
	for _, text := range []string{"", "_", "aic_", strings.Repeat("_", 50), strings.Repeat("é", 25), "aic_" + strings.Repeat("0", 46)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseToken(text, prefixes)
		if !ok {
			if got != (token{}) {
				t.Fatalf("parseToken(%q) refused and returned %+v", text, got)
			}
			// Whatever has the shape and a right checksum is a token.
			if pattern.MatchString(text) && checksum(text[:len(text)-sumLen]) == text[len(text)-sumLen:] {
				t.Fatalf("parseToken(%q) refused a good token", text)
			}
			return
		}
		if got.text != text || len(text) > maxToken || !pattern.MatchString(text) {
			t.Fatalf("parseToken(%q) = %+v, which is no token", text, got)
		}
		secret := text[len(text)-sumLen-secretLen : len(text)-sumLen]
		body := got.prefix + "_" + got.id + secret
		if body+checksum(body) != text || strings.Contains(got.hint(), secret) {
			t.Fatalf("parseToken(%q) = %+v does not make the same token again", text, got)
		}
	})
}
