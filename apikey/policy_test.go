package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store/memory"
)

func from(ctx context.Context, ip string) context.Context {
	return lanyard.WithRequest(ctx, lanyard.Request{IP: ip})
}

// A key is used from the networks of Options.Networks and from nowhere else,
// in the cache too. The history tells of an attempt once an hour.
func TestNetworks(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour, Networks: []netip.Prefix{
		netip.MustParsePrefix("203.0.113.0/25"), netip.MustParsePrefix("2001:db8:1::/48"),
	}})
	_, token := b.create(t, ana, apikey.CreateRequest{})
	for ip, good := range map[string]bool{
		"203.0.113.0": true, "203.0.113.127": true, "::ffff:203.0.113.5": true,
		"203.0.113.128": false, "203.0.112.255": false, "198.51.100.1": false,
		"2001:db8:1::": true, "2001:db8:1:ffff:ffff:ffff:ffff:ffff": true, "2001:db8:1::1%eth0": true,
		"2001:db8:2::": false, "2001:db8:0:ffff::1": false,
		"": false, "host": false, "203.0.113.5:80": false, " 203.0.113.5": false,
	} {
		for range 2 {
			_, err := b.Verify(from(t.Context(), ip), token)
			if good != (err == nil) || err != nil && !errors.Is(err, lanyard.ErrUnauthenticated) {
				t.Errorf("Verify() from %q = %v, want good: %t", ip, err, good)
			}
		}
	}
	b.wantRefused(t, "from nowhere", token)
	b.settle(t)
	var events int
	for _, e := range b.history(t, ana) {
		if e.Action == apikey.ActionRefusedNetwork {
			events++
		}
	}
	if events != 1 {
		t.Errorf("%d events of refused networks in one hour, want 1", events)
	}
	if n := b.store.lookups.Load(); n != 1 {
		t.Errorf("%d reads of the store, want 1", n)
	}
}

// A scope of a key counts as long as its owner may have it.
func TestRights(t *testing.T) {
	t.Parallel()
	var rights atomic.Pointer[[]string]
	var fails atomic.Pointer[error]
	b := newBench(t, &apikey.Options{
		MaxStale: time.Hour, Scopes: []string{"read", "write", "admin"},
		Rights: func(_ context.Context, owner lanyard.Owner) ([]string, error) {
			if err := fails.Load(); err != nil {
				return []string{"read", "write", "admin"}, *err
			}
			if owner != ana {
				panic("somebody else's rights were asked for")
			}
			return *rights.Load(), nil
		},
	})
	_, token := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"read", "write"}})
	write, err := b.ScopeSet("write")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ rights, want []string }{
		{[]string{"admin", "read", "write"}, []string{"read", "write"}},
		{[]string{"read", "other"}, []string{"read"}},
		{nil, nil},
		{[]string{"write"}, []string{"write"}},
		{[]string{"write", "read"}, []string{"read", "write"}},
	} {
		rights.Store(&test.rights)
		p, err := b.Verify(t.Context(), token)
		if err != nil || !slices.Equal(p.Scopes, test.want) {
			t.Errorf("Verify() of an owner with %v = %v, %v, want %v", test.rights, p.Scopes, err, test.want)
		}
		_, err = b.VerifyCall(t.Context(), token, apikey.Call{Scopes: write})
		if allowed := slices.Contains(test.want, "write"); allowed != (err == nil) || err != nil && !errors.Is(err, lanyard.ErrForbidden) {
			t.Errorf("VerifyCall() of an owner with %v = %v, want allowed: %t", test.rights, err, allowed)
		}
	}
	for _, failure := range []error{errors.New("directory down"), lanyard.ErrUnauthenticated, lanyard.ErrForbidden} {
		fails.Store(&failure)
		if _, err := b.Verify(t.Context(), token); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("Verify() when rights say %v = %v, want ErrUnavailable", failure, err)
		}
	}
	fails.Store(nil)
	_, others := b.create(t, bob, apikey.CreateRequest{Scopes: []string{"read"}})
	if _, err := b.Verify(t.Context(), others); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Verify() when rights panic = %v, want ErrUnavailable", err)
	}
}

// Scopes are asked for one and all, also beyond the 64 that have a bit.
func TestVerifyScopes(t *testing.T) {
	t.Parallel()
	var offered []string
	for i := range 70 {
		offered = append(offered, fmt.Sprint("s", i))
	}
	b := newBench(t, &apikey.Options{Scopes: offered})
	all := map[string]string{}
	for name, scopes := range map[string][]string{"none": nil, "two": {"s1", "s63"}, "far": {"s0", "s64", "s69"}, "all": offered} {
		_, all[name] = b.create(t, ana, apikey.CreateRequest{Scopes: scopes})
	}
	for _, test := range []struct {
		need []string
		good string
	}{
		{nil, "none two far all"},
		{[]string{"s1"}, "two all"},
		{[]string{"s63"}, "two all"},
		{[]string{"s1", "s63"}, "two all"},
		{[]string{"s0", "s1"}, "all"},
		{[]string{"s64"}, "far all"},
		{[]string{"s0", "s69"}, "far all"},
		{[]string{"s65"}, "all"},
		{[]string{"s1", "s64"}, "all"},
	} {
		need, err := b.ScopeSet(test.need...)
		if err != nil {
			t.Fatalf("ScopeSet(%v) = %v, want nil", test.need, err)
		}
		for name, token := range all {
			_, err := b.VerifyCall(t.Context(), token, apikey.Call{Scopes: need})
			good := slices.Contains(strings.Fields(test.good), name)
			if good != (err == nil) || err != nil && !errors.Is(err, lanyard.ErrForbidden) {
				t.Errorf("VerifyCall(%s, %v) = %v, want good: %t", name, test.need, err, good)
			}
		}
	}
	_, err := b.ScopeSet("s1", "unheard-of")
	wantInput(t, "ScopeSet of an unknown scope", err, "scopes", lanyard.CodeUnknown)
}

// How long a key lives is the host's policy, whoever asks, and however he asks.
func TestLife(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		options apikey.Options
		asked   time.Duration // 0 = none
		want    time.Duration // 0 = never, negative = refused
	}{
		"no policy":              {apikey.Options{}, 0, 0},
		"no policy, asked":       {apikey.Options{}, 400 * day, 400 * day},
		"default":                {apikey.Options{DefaultLife: 30 * day}, 0, 30 * day},
		"default, asked longer":  {apikey.Options{DefaultLife: 30 * day}, 90 * day, 90 * day},
		"maximum":                {apikey.Options{MaxLife: 90 * day}, 0, 90 * day},
		"maximum and default":    {apikey.Options{MaxLife: 90 * day, DefaultLife: 7 * day}, 0, 7 * day},
		"at the maximum":         {apikey.Options{MaxLife: 90 * day}, 90 * day, 90 * day},
		"within the day after":   {apikey.Options{MaxLife: 90 * day}, 91 * day, 91 * day},
		"beyond the maximum":     {apikey.Options{MaxLife: 90 * day}, 91*day + time.Microsecond, -1},
		"far beyond the maximum": {apikey.Options{MaxLife: 90 * day}, 200 * 365 * day, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &test.options)
			r := apikey.CreateRequest{Name: "ci", IdempotencyKey: "once"}
			if test.asked != 0 {
				r.ExpiresAt = start.Add(test.asked)
			}
			c, err := b.Create(t.Context(), ana, r)
			if test.want < 0 {
				wantInput(t, "Create", err, "expires_at", apikey.CodeTooLate)
				return
			}
			var want time.Time
			if test.want > 0 {
				want = start.Add(test.want)
			}
			if err != nil || !c.Key.ExpiresAt.Equal(want) {
				t.Fatalf("Create() = a key until %v, %v, want %v", c.Key.ExpiresAt, err, want)
			}
			b.clock.advance(time.Hour) // a default counts from the first request
			if again, err := b.Create(t.Context(), ana, r); err != nil || !again.Replayed || !again.Key.ExpiresAt.Equal(want) {
				t.Errorf("the same request an hour later = %+v, %v, want the first key", again.Key, err)
			}
			rotated, err := b.Rotate(t.Context(), ana, c.Key.ID, apikey.RotateRequest{})
			if err != nil || !want.IsZero() && !rotated.Key.ExpiresAt.Equal(want.Add(time.Hour)) {
				t.Errorf("Rotate() = a key until %v, %v, want an hour more than %v", rotated.Key.ExpiresAt, err, want)
			}
		})
	}
}

// A maximum that came later holds for successors of older keys too.
func TestRotateUnderAMaximum(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	forever, _ := b.create(t, ana, apikey.CreateRequest{})
	long, _ := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.AddDate(5, 0, 0)})
	strict := newService(t, b.memory, &apikey.Options{Now: b.clock.now, MaxLife: 90 * 24 * time.Hour})
	for _, k := range []apikey.Key{forever, long} {
		r, err := strict.Rotate(t.Context(), ana, k.ID, apikey.RotateRequest{})
		if want := start.Add(90 * 24 * time.Hour); err != nil || !r.Key.ExpiresAt.Equal(want) {
			t.Errorf("Rotate() = a key until %v, %v, want %v", r.Key.ExpiresAt, err, want)
		}
	}
}

// Of N calls at once exactly the burst gets through, for each key of its own;
// the others hear when to come back.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		b := &bench{memory: st, store: &watched{Store: st}, heard: new(heard)}
		b.Service = newService(t, b.store, &apikey.Options{Rate: 2, Burst: 5})
		_, token := b.create(t, ana, apikey.CreateRequest{})
		_, other := b.create(t, ana, apikey.CreateRequest{})
		var good, limited atomic.Int64
		atOnce(50, func(int) error {
			_, err := b.Verify(t.Context(), token)
			var limit *apikey.RateLimitError
			switch {
			case err == nil:
				good.Add(1)
			case errors.As(err, &limit) && limit.RetryAfter == 500*time.Millisecond && !errors.Is(err, lanyard.ErrUnauthenticated):
				limited.Add(1)
			default:
				t.Errorf("Verify() = %v, want a RateLimitError with half a second", err)
			}
			return nil
		})
		if good.Load() != 5 || limited.Load() != 45 {
			t.Errorf("%d calls were allowed and %d limited, want 5 and 45", good.Load(), limited.Load())
		}
		b.wantGood(t, "another key", other)
		<-time.After(500 * time.Millisecond)
		b.wantGood(t, "half a second later", token)
		if _, err := b.Verify(t.Context(), token); err == nil {
			t.Error("Verify() = nil beyond the rate")
		}
	})
}

// The longest and the shortest rate.
func TestOddRates(t *testing.T) {
	t.Parallel()
	for _, o := range []apikey.Options{{Rate: 1e-300}, {Rate: 1e-12, Burst: math.MaxInt}, {Rate: 1e12, Burst: 1}, {Rate: 0.5}} {
		o.MaxStale = time.Hour
		b := newBench(t, &o)
		_, token := b.create(t, ana, apikey.CreateRequest{})
		b.wantGood(t, fmt.Sprintf("the first call at a rate of %g", o.Rate), token)
		_, err := b.Verify(t.Context(), token)
		var limit *apikey.RateLimitError
		if limited := o.Rate < 1 && o.Burst < 2; limited != errors.As(err, &limit) || limited && limit.RetryAfter <= 0 {
			t.Errorf("the second call at a rate of %g = %v, want a limit: %t", o.Rate, err, limited)
		}
	}
}

// A foreign token has one rate, however it is written: what of it is not hashed
// anybody may choose.
func TestRateOfForeignTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour, Rate: 0.001, Burst: 2, AcceptForeign: sanctum})
	imported, err := b.Import(t.Context(), []apikey.ImportRequest{{Owner: ana, Name: "ci", Hash: hexHash("secret")}})
	if err != nil || imported[0].Err != nil {
		t.Fatalf("Import() = %+v, %v", imported, err)
	}
	good := 0
	for i := range 50 {
		if _, err := b.Verify(t.Context(), fmt.Sprintf("%d|secret", i)); err == nil {
			good++
		}
	}
	if good != 2 || b.Cached() != 1 {
		t.Errorf("%d calls were allowed and %d verdicts kept, want 2 and 1", good, b.Cached())
	}
}

// Who has spent his rate gets none back by having this process look at other
// tokens, in whatever number: unknown ones, those of deleted and of expired keys.
func TestRateOutlivesAFlood(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour, MaxCached: 32, Rate: 0.001, Burst: 2, Limit: -1})
	_, spent := b.create(t, ana, apikey.CreateRequest{})
	var flood []string
	for i := range 200 {
		key, deleted := b.create(t, bob, apikey.CreateRequest{})
		if err := b.Delete(t.Context(), bob, key.ID, 0); err != nil {
			t.Fatal(err)
		}
		_, expired := b.create(t, bob, apikey.CreateRequest{ExpiresAt: start.Add(time.Second)})
		flood = append(flood, deleted, expired, resum(fmt.Sprintf("lyd_%010d%030d", i, i)))
	}
	b.clock.advance(time.Minute)
	for range 2 {
		b.wantGood(t, "within its rate", spent)
	}
	for range 3 {
		for _, token := range flood {
			b.wantRefused(t, "a token of the flood", token)
		}
		var limit *apikey.RateLimitError
		if _, err := b.Verify(t.Context(), spent); !errors.As(err, &limit) {
			t.Fatalf("Verify() of a key that has spent its rate, after a flood = %v, want a RateLimitError", err)
		}
	}
}

// Nor does he where nearly all that is remembered are keys that work.
func TestNoBadTokenTakesAPlace(t *testing.T) {
	t.Parallel()
	const cached = 64
	b := newBench(t, &apikey.Options{MaxStale: time.Hour, MaxCached: cached, Rate: 0.001, Burst: 1, Limit: -1})
	var working, flood []string
	for range cached - 4 {
		_, token := b.create(t, ana, apikey.CreateRequest{})
		working = append(working, token)
	}
	for range cached {
		key, deleted := b.create(t, bob, apikey.CreateRequest{})
		if err := b.Delete(t.Context(), bob, key.ID, 0); err != nil {
			t.Fatal(err)
		}
		_, expired := b.create(t, bob, apikey.CreateRequest{ExpiresAt: start.Add(time.Second)})
		flood = append(flood, deleted, expired)
	}
	b.clock.advance(time.Minute)
	for _, token := range working {
		b.wantGood(t, "within its rate", token)
	}
	for range 3 {
		for _, token := range flood {
			b.wantRefused(t, "a token of the flood", token)
		}
	}
	pushed := 0
	for _, token := range working {
		var limit *apikey.RateLimitError
		if _, err := b.Verify(t.Context(), token); !errors.As(err, &limit) {
			pushed++
		}
	}
	if pushed > 0 {
		t.Errorf("%d of %d keys that work were forgotten for tokens that do not", pushed, len(working))
	}
}

// An old key in its grace still works, and its owner hears that something goes
// on using it.
func TestUsedAfterRotate(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour})
	key, old := b.create(t, ana, apikey.CreateRequest{Name: "ci"})
	b.wantGood(t, "before", old)
	r, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: 2 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.wantGood(t, "the old key in its grace", old)
		b.wantGood(t, "its successor", r.Secret.Reveal())
	}
	b.clock.advance(time.Hour)
	b.wantGood(t, "the old key in its grace", old)
	b.settle(t)
	var objects []string
	for _, e := range b.history(t, ana) {
		if e.Action == apikey.ActionUsedAfterRotate {
			objects = append(objects, e.Object)
		}
	}
	if !slices.Equal(objects, []string{key.ID, key.ID}) {
		t.Errorf("uses in grace of %v, want two of %s: one an hour", objects, key.ID)
	}
	b.clock.advance(2 * time.Hour)
	b.wantRefused(t, "the old key after its grace", old)
	b.settle(t)
	if e := b.history(t, ana)[0]; e.Action != apikey.ActionUsedAfterRotate {
		t.Errorf("the newest event after the grace is %q, want %q", e.Action, apikey.ActionUsedAfterRotate)
	}
}

func TestOptionsOfPolicy(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]apikey.Options{
		"max_life":     {MaxLife: -1},
		"default_life": {MaxLife: 1, DefaultLife: 2},
		"max_stale":    {MaxStale: time.Millisecond},
		"max_cached":   {MaxCached: -1},
		"rate":         {Rate: -1},
		"burst":        {Burst: -1},
		"networks":     {Networks: []netip.Prefix{{}}},
	} {
		_, err := apikey.NewService(memory.New(), &o)
		wantInput(t, fmt.Sprintf("NewService(%s)", field), err, field, lanyard.CodeInvalid)
	}
}

// Who writes the largest number for "no bound" hears that there is one, or has it.
func TestLargestOptions(t *testing.T) {
	t.Parallel()
	_, err := apikey.NewService(memory.New(), &apikey.Options{MaxCached: math.MaxInt})
	wantInput(t, "NewService()", err, "max_cached", lanyard.CodeInvalid)

	b := newBench(t, &apikey.Options{MaxLife: math.MaxInt64})
	key, token := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(time.Hour)})
	b.wantGood(t, "a key for an hour of 292 years", token)
	if _, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Minute}); err != nil {
		t.Errorf("Rotate() = %v, want nil", err)
	}
}

// The first use of a key and its last, each with the network it came from,
// stand in its list at once.
func TestUsedFrom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		first := time.Now()
		for _, ip := range []string{"203.0.113.77", "2001:db8:1:2:3::4%eth0", "::ffff:198.51.100.9", "nonsense"} {
			if _, err := b.Verify(from(t.Context(), ip), token); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"203.0.113.77": "203.0.113.0/24", "2001:db8:1:2:3::4%eth0": "2001:db8:1::/48",
				"::ffff:198.51.100.9": "198.51.100.0/24", "nonsense": "",
			}[ip]
			k, err := b.Key(t.Context(), ana, key.ID)
			if err != nil || k.FirstUsedFrom != "203.0.113.0/24" || !k.FirstUsedAt.Equal(first) ||
				k.LastUsedFrom != want || !k.LastUsedAt.Equal(time.Now()) {
				t.Errorf("after a use from %q: Key() = %+v, %v", ip, k, err)
			}
			<-time.After(time.Second)
		}
	})
}

// The list says whether a rotated key is still in use, and by which key it was
// replaced.
func TestSafeToDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		b.wantGood(t, "before", token)
		<-time.After(time.Minute)
		r, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		rotatedAt := time.Now()
		want := func(why, successor string, used bool) {
			t.Helper()
			k, err := b.Key(t.Context(), ana, key.ID)
			if err != nil || k.RotatedTo != successor || !k.RotatedAt.Equal(rotatedAt) || k.UsedSinceRotation() != used {
				t.Errorf("%s: Key() = %+v, %v, want replaced by %q, used since: %t", why, k, err, successor, used)
			}
			keys, err := b.Keys(t.Context(), ana)
			if i := slices.IndexFunc(keys, func(k apikey.Key) bool { return k.ID == key.ID }); err != nil || i < 0 || keys[i].RotatedTo != successor {
				t.Errorf("%s: Keys() = %+v, %v, want the same", why, keys, err)
			}
		}
		want("just rotated", r.Key.ID, false)
		<-time.After(time.Minute)
		b.wantGood(t, "the old key in its grace", token)
		want("used in its grace", r.Key.ID, true)
		if _, err := b.Rename(t.Context(), ana, key.ID, 0, "old"); err != nil {
			t.Fatal(err)
		}
		want("renamed", r.Key.ID, true)
		b.delete(t, r.Key.ID)
		want("its successor deleted", "", true)
	})
}
