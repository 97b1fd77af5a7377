package secretstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

var nameTests = map[string]func(*testing.T, crypto.Secrets){
	"IsPrintable": func(t *testing.T, s crypto.Secrets) {
		if name := s.Name(); !printable(name) {
			t.Errorf("Name() = %q, want 1 to 255 bytes of printable ASCII without space", name)
		}
	},
	"NeverChanges": func(t *testing.T, s crypto.Secrets) {
		before := s.Name()
		x := newSample(t, s, "name")
		x.wantOpens(t, s, "wrapped just now", x.wrapped)
		if after := s.Name(); after != before {
			t.Errorf("Name() = %q after a use, %q before", after, before)
		}
	},
}

var wrapTests = map[string]func(*testing.T, crypto.Secrets){
	"RoundTrip": func(t *testing.T, s crypto.Secrets) {
		for name, key := range map[string][]byte{
			"random": newKey(),
			"zeros":  make([]byte, crypto.KeySize),
			"ones":   bytes.Repeat([]byte{0xff}, crypto.KeySize),
			"text":   []byte("\r\n\x00\"'\\{}<>%& vault:v1: \xc3\x28 text that goes on")[:crypto.KeySize],
		} {
			for _, binding := range [][]byte{[]byte("b"), {0}, bytes.Repeat([]byte{0xff, 0, '\n'}, 300), []byte("a:b=c,d\"é")} {
				x := sample{key: key, binding: binding}
				x.wantOpens(t, s, fmt.Sprintf("%s, a binding of %d bytes", name, len(binding)), wrap(t, s, key, binding))
			}
		}
	},
	"NeverTheSame": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "same")
		if again := wrap(t, s, x.key, x.binding); bytes.Equal(again.Ciphertext, x.wrapped.Ciphertext) {
			t.Error("Wrap() gave one key the same ciphertext twice")
		}
	},
	"KeyOfAnotherSize": func(t *testing.T, s crypto.Secrets) {
		for _, size := range []int{0, 1, 16, 24, crypto.KeySize - 1, crypto.KeySize + 1, 2 * crypto.KeySize, 1 << 20} {
			key := bytes.Repeat([]byte{0xa5}, size)
			w, err := s.Wrap(t.Context(), key, []byte("size"))
			if err == nil {
				t.Errorf("Wrap() of %d bytes = nil, want an error", size)
			}
			if size >= 16 && err != nil && (holds(err.Error(), key) || len(w.Ciphertext) > 0) {
				t.Errorf("Wrap() of %d bytes returned something beside the error, or the key in it", size)
			}
		}
		if _, err := s.Wrap(t.Context(), nil, []byte("size")); err == nil {
			t.Error("Wrap() of a nil key = nil, want an error")
		}
	},
	// A key service may refuse an empty binding. If it takes one, it is a
	// binding like any other.
	"EmptyBinding": func(t *testing.T, s crypto.Secrets) {
		for _, empty := range [][]byte{nil, {}} {
			x := sample{key: newKey(), binding: empty}
			w, err := s.Wrap(t.Context(), x.key, empty)
			if err != nil {
				wantSilent(t, "empty binding", err, x.key)
				continue
			}
			x.wantOpens(t, s, "empty binding", w)
			x.wantRefused(t, s, "wrapped for no place", w, []byte("some"), crypto.ErrIntegrity)
		}
	},
	"ChangesNoArgument": func(t *testing.T, s crypto.Secrets) {
		key, binding := newKey(), []byte("lanyard/secretstest/arguments")
		// What stands behind the slices is not its own either.
		roomyKey := append(bytes.Clone(key), "tail"...)[:len(key)]
		roomyBinding := append(bytes.Clone(binding), "tail"...)[:len(binding)]
		w := wrap(t, s, roomyKey, roomyBinding)
		if !bytes.Equal(roomyKey, key) || string(roomyKey[:len(key)+4][len(key):]) != "tail" {
			t.Error("Wrap() changed the key it was given")
		}
		if !bytes.Equal(roomyBinding, binding) || string(roomyBinding[:len(binding)+4][len(binding):]) != "tail" {
			t.Error("Wrap() changed the binding it was given")
		}
		sample{key: key, binding: binding}.wantOpens(t, s, "afterwards", w)
	},
	"KeepsNoArgument": func(t *testing.T, s crypto.Secrets) {
		key, binding := newKey(), []byte("lanyard/secretstest/kept")
		x := sample{key: bytes.Clone(key), binding: bytes.Clone(binding)}
		w := wrap(t, s, key, binding)
		clear(key)
		clear(binding)
		x.wantOpens(t, s, "after the caller wiped what it gave", w)
		x.wantRefused(t, s, "with the wiped binding", w, binding, crypto.ErrIntegrity)
	},
	"AnswerIsTheCallers": func(t *testing.T, s crypto.Secrets) {
		x := sample{key: newKey(), binding: []byte("lanyard/secretstest/answer")}
		first, err := s.Wrap(t.Context(), x.key, x.binding)
		if err != nil {
			t.Fatalf("Wrap() = %v, want nil", err)
		}
		kept := cloned(first)
		second, err := s.Wrap(t.Context(), newKey(), x.binding)
		if err != nil {
			t.Fatalf("Wrap() = %v, want nil", err)
		}
		if !same(first, kept) {
			t.Error("a second Wrap() changed the answer of the first")
		}
		clear(second.Ciphertext)
		clear(first.Ciphertext)
		x.wantOpens(t, s, "after the caller wiped the answers", kept)
	},
}

var unwrapTests = map[string]func(*testing.T, crypto.Secrets){
	"AnotherBinding": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "binding")
		others := map[string][]byte{
			"no binding":      nil,
			"an empty one":    {},
			"another":         []byte("lanyard/secretstest/elsewhere"),
			"a shorter one":   x.binding[:len(x.binding)-1],
			"a longer one":    append(bytes.Clone(x.binding), 0),
			"one in capitals": bytes.ToUpper(x.binding),
			"one with spaces": append(append([]byte{' '}, x.binding...), ' '),
			"the key version": []byte(x.wrapped.KeyVersion),
		}
		for i := range x.binding {
			changed := bytes.Clone(x.binding)
			changed[i] ^= 1
			others[fmt.Sprintf("one with byte %d changed", i)] = changed
		}
		for name, other := range others {
			x.wantRefused(t, s, name, x.wrapped, other, crypto.ErrIntegrity)
		}
		x.wantOpens(t, s, "its own binding", x.wrapped)
	},
	"EveryBitFlip": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "flip")
		for i := range x.wrapped.Ciphertext {
			for bit := range 8 {
				if testing.Short() && bit != i%8 {
					continue
				}
				changed := bytes.Clone(x.wrapped.Ciphertext)
				changed[i] ^= 1 << bit
				// A ciphertext that names its key version names another one now.
				x.wantRefused(t, s, fmt.Sprintf("bit %d of byte %d flipped", bit, i), with(x.wrapped, changed), x.binding,
					crypto.ErrIntegrity, crypto.ErrUnknownKey)
			}
		}
	},
	"EveryTruncation": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "truncation")
		for n := range x.wrapped.Ciphertext {
			x.wantRefused(t, s, fmt.Sprintf("the first %d bytes", n), with(x.wrapped, x.wrapped.Ciphertext[:n]), x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
			if n > 0 {
				x.wantRefused(t, s, fmt.Sprintf("without the first %d bytes", n), with(x.wrapped, x.wrapped.Ciphertext[n:]), x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
			}
		}
	},
	"Extension": func(t *testing.T, s crypto.Secrets) {
		x, y := newSample(t, s, "extension"), newSample(t, s, "extension")
		c := x.wrapped.Ciphertext
		for name, longer := range map[string][]byte{
			"a zero after it":     append(bytes.Clone(c), 0),
			"a newline after it":  append(bytes.Clone(c), '\n'),
			"a space after it":    append(bytes.Clone(c), ' '),
			"padding after it":    append(bytes.Clone(c), '='),
			"its last byte again": append(bytes.Clone(c), c[len(c)-1]),
			"a zero before it":    append([]byte{0}, c...),
			"a space before it":   append([]byte{' '}, c...),
			"itself twice":        slices.Concat(c, c),
			"two joined":          slices.Concat(c, y.wrapped.Ciphertext),
			"much after it":       append(bytes.Clone(c), make([]byte, crypto.MaxWrapped)...),
		} {
			x.wantRefused(t, s, name, with(x.wrapped, longer), x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
		}
	},
	"Swapped": func(t *testing.T, s crypto.Secrets) {
		x, y := newSample(t, s, "one"), newSample(t, s, "two")
		x.wantRefused(t, s, "the other's ciphertext", y.wrapped, x.binding, crypto.ErrIntegrity)
		y.wantRefused(t, s, "the other's ciphertext", x.wrapped, y.binding, crypto.ErrIntegrity)
		half := len(x.wrapped.Ciphertext) / 2
		spliced := slices.Concat(x.wrapped.Ciphertext[:half], y.wrapped.Ciphertext[half:])
		x.wantRefused(t, s, "half of each", with(x.wrapped, spliced), x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
	},
	// What names a key version that is not there must not be opened with the
	// one that is. Where the ciphertext names it too, the two contradict.
	"AnotherKeyVersion": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "version")
		v := x.wrapped.KeyVersion
		for _, other := range []string{"", "no-such-version", v + "0", v[:len(v)-1], "v999999", "-1", " " + v, v + "\n", strings.ToUpper(v) + "?", "../" + v, strings.Repeat("9", 300)} {
			w := crypto.Wrapped{KeyVersion: other, Ciphertext: x.wrapped.Ciphertext}
			x.wantRefused(t, s, fmt.Sprintf("key version %q", other), w, x.binding, crypto.ErrUnknownKey, crypto.ErrIntegrity)
		}
	},
	"NoCiphertext": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "nothing")
		x.wantRefused(t, s, "nil ciphertext", with(x.wrapped, nil), x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
		x.wantRefused(t, s, "empty ciphertext", with(x.wrapped, []byte{}), x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
		x.wantRefused(t, s, "nothing at all", crypto.Wrapped{}, x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
		x.wantRefused(t, s, "nothing at all, for no place", crypto.Wrapped{}, nil, crypto.ErrIntegrity, crypto.ErrUnknownKey)
	},
	"PlainKey": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "plain")
		x.wantRefused(t, s, "the key where its ciphertext belongs", with(x.wrapped, x.key), x.binding, crypto.ErrIntegrity, crypto.ErrUnknownKey)
	},
	"ChangesNoArgument": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "arguments")
		w, binding := cloned(x.wrapped), bytes.Clone(x.binding)
		x.wantOpens(t, s, "once", w)
		x.wantRefused(t, s, "elsewhere", w, []byte("elsewhere"), crypto.ErrIntegrity)
		if !same(w, x.wrapped) || !bytes.Equal(binding, x.binding) {
			t.Error("Unwrap() changed what it was given")
		}
	},
	"AnswerIsTheCallers": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "answer")
		first := unwrap(t, s, x.wrapped, x.binding)
		clear(first)
		second := unwrap(t, s, x.wrapped, x.binding)
		if !bytes.Equal(second, x.key) {
			t.Error("Unwrap() gave another key after the caller wiped the first answer")
		}
		_ = unwrap(t, s, newSample(t, s, "answer").wrapped, x.binding)
		if !bytes.Equal(second, x.key) {
			t.Error("a later Unwrap() changed an earlier answer")
		}
	},
}

var contextTests = map[string]func(*testing.T, crypto.Secrets){
	"Cancelled": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "context")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Wrap(ctx, x.key, x.binding)
		wantGaveUp(t, "Wrap()", err)
		_, err = s.Unwrap(ctx, x.wrapped, x.binding)
		wantGaveUp(t, "Unwrap()", err)
		x.wantOpens(t, s, "afterwards", x.wrapped)
	},
	"Expired": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "context")
		ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
		defer cancel()
		_, err := s.Wrap(ctx, x.key, x.binding)
		wantGaveUp(t, "Wrap()", err)
		_, err = s.Unwrap(ctx, x.wrapped, x.binding)
		wantGaveUp(t, "Unwrap()", err)
	},
}

// wantGaveUp fails the test unless err says that a context ended, and not
// that anything is wrong with what was asked about.
func wantGaveUp(t *testing.T, what string, err error) {
	t.Helper()
	gaveUp := errors.Is(err, lanyard.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if !gaveUp || errors.Is(err, crypto.ErrIntegrity) || errors.Is(err, crypto.ErrUnknownKey) || errors.Is(err, crypto.ErrDenied) {
		t.Errorf("%s with a context that had ended = %v, want ErrUnavailable or the context's error", what, err)
	}
}

var concurrencyTests = map[string]func(*testing.T, crypto.Secrets){
	"EveryCallerHisOwnKey": func(t *testing.T, s crypto.Secrets) {
		var all sync.WaitGroup
		for caller := range 8 {
			all.Go(func() {
				for round := range 8 {
					x := sample{key: newKey(), binding: fmt.Appendf(nil, "caller %d round %d", caller, round)}
					w, err := s.Wrap(t.Context(), x.key, x.binding)
					if err != nil {
						t.Errorf("Wrap() beside others = %v, want nil", err)
						return
					}
					x.wantOpens(t, s, "beside others", w)
					x.wantRefused(t, s, "beside others", w, []byte("elsewhere"), crypto.ErrIntegrity)
				}
			})
		}
		all.Wait()
	},
	"OneKeyForMany": func(t *testing.T, s crypto.Secrets) {
		x := newSample(t, s, "many")
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() { x.wantOpens(t, s, "beside others", x.wrapped) })
		}
		all.Wait()
	},
}
