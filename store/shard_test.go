package store_test

import (
	"fmt"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Rows keep their shard for life: these numbers are for ever.
func TestShardIsStable(t *testing.T) {
	t.Parallel()
	for owner, want := range map[lanyard.Owner]int{
		{Subject: "ana"}:                                          173,
		{Tenant: "acme", Subject: "ana"}:                          40,
		{Tenant: "acme", Subject: "Ana"}:                          129,
		{Tenant: "acmea", Subject: "na"}:                          181,
		{Tenant: "ana", Subject: "acme"}:                          157,
		{Subject: "svc:ci"}:                                       80,
		{Tenant: "ünïcode", Subject: "名"}:                         230,
		{Tenant: "https://login.example/", Subject: "00u1ab2cd3"}: 144,
	} {
		if got := store.Shard(owner); got != want {
			t.Errorf("Shard(%q) = %d, want %d for ever", owner, got, want)
		}
	}
}

// The shards are equally full, whatever the subjects look like.
func TestShardIsUniform(t *testing.T) {
	t.Parallel()
	const owners = 64 * store.Shards
	for name, subject := range map[string]func(i int) string{
		"numbers":   func(i int) string { return fmt.Sprint(i) },
		"padded":    func(i int) string { return fmt.Sprintf("user-%08d", i) },
		"addresses": func(i int) string { return fmt.Sprintf("%d@acme.example", i) },
		"hex":       func(i int) string { return fmt.Sprintf("%032x", i) },
		"random":    func(int) string { return lanyard.NewID() },
	} {
		var full [store.Shards]int
		for i := range owners {
			shard := store.Shard(lanyard.Owner{Tenant: "acme", Subject: subject(i)})
			if shard < 0 || shard >= store.Shards {
				t.Fatalf("Shard = %d, want one below %d", shard, store.Shards)
			}
			full[shard]++
		}
		// Chi-squared with 255 degrees of freedom has the mean 255 and the
		// standard deviation 22.6: 400 lies more than six of them above.
		chi := 0.0
		for _, n := range full {
			d := float64(n) - owners/store.Shards
			chi += d * d / (owners / store.Shards)
		}
		if chi > 400 {
			t.Errorf("%s: the shards differ with a chi-squared of %.0f, want below 400", name, chi)
		}
	}
}
