package providertoken

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

// odd is a secret that every way of escaping changes.
const odd = `canary-7/x+Q"w\e<r&t%y=Zz`

// chunks is a body that comes in pieces of that size.
type chunks struct {
	text string
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.text)
	c.text = c.text[n:]
	return n, nil
}

func (c *chunks) Close() error { return nil }

// through returns text after it went through s in pieces of that size, read with
// room for that many bytes.
func through(t *testing.T, s *scrubber, text string, piece, room int) string {
	t.Helper()
	r := &scrubbing{body: &chunks{text, piece}, s: s, left: -1}
	var out bytes.Buffer
	if _, err := io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{r}, make([]byte, room)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// In whatever way a platform writes the credential, in whatever pieces it comes
// and with whatever room it is read, it does not arrive, and all else does.
func TestScrubberMasksEverySpelling(t *testing.T) {
	t.Parallel()
	s := newScrubber([]string{odd})
	raw := hex.EncodeToString([]byte(odd))
	written := map[string]string{
		"raw": odd, "query": url.QueryEscape(odd), "path": url.PathEscape(odd),
		"lower query": regexp.MustCompile("%..").ReplaceAllStringFunc(url.QueryEscape(odd), strings.ToLower),
		"json":        `canary-7/x+Q\"w\\e<r&t%y=Zz`, "json for html": `canary-7/x+Q\"w\\e\u003cr\u0026t%y=Zz`,
		"json with slashes": `canary-7\/x+Q\"w\\e<r&t%y=Zz`,
		"html":              `canary-7/x+Q&#34;w\e&lt;r&amp;t%y=Zz`,
		"hex":               raw, "upper hex": strings.ToUpper(raw),
	}
	for name, text := range written {
		for _, piece := range []int{1, 2, 7, 64, 1000} {
			for _, room := range []int{1, 3, 100, 4096} {
				got := through(t, s, "before "+text+" after", piece, room)
				want := "before " + strings.Repeat("*", len(text)) + " after"
				if got != want {
					t.Fatalf("%s in pieces of %d with room for %d: %q, want it masked", name, piece, room, got)
				}
			}
		}
	}
	// In base64 its neighbours have a part in the first and the last character.
	for user := range 7 {
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString([]byte(strings.Repeat("u", user) + ":" + odd + "-tail"))
			for _, piece := range []int{1, 5, 1000} {
				got := through(t, s, text, piece, 512)
				if stars := strings.Count(got, "*"); stars < len(odd)*8/6-2 || len(got) != len(text) {
					t.Errorf("base64 after %d characters in pieces of %d: %q", user, piece, got)
				}
			}
		}
	}
}

// Languages and libraries differ in what they escape.
func TestScrubberKnowsTheUsualLibraries(t *testing.T) {
	t.Parallel()
	s := newScrubber([]string{`p"q'r/s=t+u!v&é`})
	for library, text := range map[string]string{
		"encodeURIComponent":        `p%22q'r%2Fs%3Dt%2Bu!v%26%C3%A9`,
		"encodeURI":                 `p%22q'r/s=t+u!v&%C3%A9`,
		"Python quote":              `p%22q%27r/s%3Dt%2Bu%21v%26%C3%A9`,
		"Java URLEncoder":           `p%22q%27r%2Fs%3Dt%2Bu%21v%26%C3%A9`,
		"Python html":               `p&quot;q&#x27;r/s=t+u!v&amp;é`,
		"PHP htmlspecialchars":      `p&quot;q&#039;r/s=t+u!v&amp;é`,
		"Ruby ERB":                  `p&quot;q&#39;r/s=t+u!v&amp;é`,
		"Handlebars":                `p&quot;q&#x27;r/s&#x3D;t+u!v&amp;é`,
		"Mustache":                  `p&quot;q&#39;r&#x2F;s&#x3D;t+u!v&amp;é`,
		"Go html/template":          `p&#34;q&#39;r/s=t&#43;u!v&amp;é`,
		"Gson":                      `p\"q\u0027r/s\u003dt+u!v\u0026é`,
		"Python json":               `p\"q'r/s=t+u!v&\u00e9`,
		"PHP json_encode":           `p\"q'r\/s=t+u!v&\u00e9`,
		".NET System.Text.Json":     `p\u0022q\u0027r/s=t\u002Bu!v\u0026\u00E9`,
		".NET HtmlEncoder":          `p&quot;q&#x27;r/s=t&#x2B;u!v&amp;é`,
		"encodeURIComponent, lower": `p%22q'r%2fs%3dt%2bu!v%26%c3%a9`,
	} {
		if got := s.text("<" + text + ">"); got != "<"+strings.Repeat("*", len(text))+">" {
			t.Errorf("%s: %q, want it masked", library, got)
		}
	}
}

func TestScrubberLeavesTheRest(t *testing.T) {
	t.Parallel()
	s := newScrubber([]string{odd, "canary"})
	for _, text := range []string{"", "x", "cana", "canar y", strings.Repeat("canar", 1000), strings.Repeat("\x00\xff", 5000), `{"key":"HUB-7"}`} {
		for _, piece := range []int{1, 3, 4096} {
			if got := through(t, s, text, piece, 700); got != text {
				t.Errorf("%.20q in pieces of %d became %.40q", text, piece, got)
			}
		}
		if got := s.text(text); got != text {
			t.Errorf("text(%.20q) = %.40q", text, got)
		}
	}
	none := newScrubber([]string{"", "short"})
	if got := through(t, none, "a short text", 3, 5); got != "a short text" {
		t.Errorf("with nothing to look for: %q", got)
	}
}

// Spellings that overlap, begin alike or repeat themselves are all masked.
func TestScrubberMasksWhatOverlaps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		secrets    []string
		text, want string
	}{
		{[]string{"abcdef", "abcdefghij"}, "abcdefghij", "**********"},
		{[]string{"abcdef", "abcdefghij"}, "abcdefghix", "******ghix"},
		{[]string{"abcdefgh", "efghijkl"}, "abcdefghijkl.", "************."},
		{[]string{"aaaaaaaa"}, strings.Repeat("a", 100) + "b", strings.Repeat("*", 100) + "b"},
		{[]string{"aaaaaaab"}, strings.Repeat("a", 100) + "b", strings.Repeat("a", 93) + "********"},
		{[]string{"abcabcabd"}, "abcabcabcabd!", "abc*********!"},
	} {
		for piece := 1; piece <= len(c.text); piece++ {
			for _, room := range []int{1, 16, 1024} {
				if got := through(t, newScrubber(c.secrets), c.text, piece, room); got != c.want {
					t.Fatalf("%q in pieces of %d with room for %d: %q, want %q", c.text, piece, room, got, c.want)
				}
			}
		}
	}
}

// Who can make a platform cut its answer short does not get the beginning.
func TestScrubberMasksWhatIsCutOff(t *testing.T) {
	t.Parallel()
	s := newScrubber([]string{odd})
	for n := shortestSpelling; n < len(odd); n++ {
		if got, want := through(t, s, "key="+odd[:n], 5, 512), "key="+strings.Repeat("*", n); got != want {
			t.Errorf("the first %d bytes at the end: %q, want %q", n, got, want)
		}
		if got := s.text("key=" + odd[:n]); strings.Contains(got, odd[:shortestSpelling]) {
			t.Errorf("the first %d bytes at the end of a header: %q", n, got)
		}
	}
	broken := &scrubbing{body: io.NopCloser(io.MultiReader(strings.NewReader("key="+odd[:20]), iotest.ErrReader(io.ErrUnexpectedEOF))), s: s, left: -1}
	got, err := io.ReadAll(broken)
	if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(string(got), odd[:shortestSpelling]) {
		t.Errorf("an answer that breaks off = %q, %v", got, err)
	}
}

// A stream goes on as it comes: nothing is held back but what may be the
// beginning of a spelling.
func TestScrubberDoesNotHoldBack(t *testing.T) {
	t.Parallel()
	out, in := io.Pipe()
	r := &scrubbing{body: out, s: newScrubber([]string{odd}), left: -1}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, text := range []string{"data: 1\n\n", "data: 2 can", "dle\n\n", odd} {
			_, _ = io.WriteString(in, text)
		}
		_ = in.Close()
	}()
	buf := make([]byte, 4096)
	for _, want := range []string{"data: 1\n\n", "data: 2 ", "candle\n\n", strings.Repeat("*", len(odd))} {
		n, err := r.Read(buf)
		if got := string(buf[:n]); err != nil || got != want {
			t.Errorf("Read = %q, %v, want %q", got, err, want)
		}
	}
	if n, err := r.Read(buf); n != 0 || err != io.EOF { //nolint:errorlint // io.EOF is returned as it is
		t.Errorf("Read at the end = %d, %v", n, err)
	}
	<-done
}

func TestScrubberBoundsAnAnswer(t *testing.T) {
	t.Parallel()
	s := newScrubber([]string{odd})
	for _, c := range []struct {
		most int64
		want error
	}{{-1, nil}, {1000, nil}, {999, ErrAnswerTooLarge}, {0, ErrAnswerTooLarge}} {
		r := &scrubbing{body: &chunks{strings.Repeat("x", 1000), 64}, s: s, left: c.most}
		got, err := io.ReadAll(r)
		if !errors.Is(err, c.want) || c.most >= 0 && int64(len(got)) > c.most {
			t.Errorf("1000 bytes with at most %d: %d, %v, want %v", c.most, len(got), err, c.want)
		}
	}
}

// A body does not print what it looks for.
func TestAScrubbedBodyDoesNotPrint(t *testing.T) {
	t.Parallel()
	r := &scrubbing{body: &chunks{"x", 1}, s: newScrubber([]string{odd}), left: -1}
	b := &scrubbed{read: r.Read, close: r.body.Close}
	if text := fmt.Sprintf("%v %+v %#v", b, b, b); strings.Contains(text, "canary") {
		t.Errorf("a body prints as %s", text)
	}
}

// naive masks in the plainest way.
func naive(s *scrubber, text string) string {
	hit := make([]bool, len(text))
	for _, spelling := range s.spellings {
		for i := 0; i+len(spelling) <= len(text); i++ {
			if text[i:i+len(spelling)] == spelling {
				for j := range len(spelling) {
					hit[i+j] = true
				}
			}
		}
	}
	for i := max(0, len(text)-s.longest); i < len(text)-shortestSpelling+1; i++ {
		for _, spelling := range s.spellings {
			if len(spelling) > len(text)-i && strings.HasPrefix(spelling, text[i:]) {
				for j := i; j < len(text); j++ {
					hit[j] = true
				}
			}
		}
	}
	out := []byte(text)
	for i := range out {
		if hit[i] {
			out[i] = '*'
		}
	}
	return string(out)
}

// FuzzScrubber holds the scrubber against the plainest way to do it: secret is
// put into text, and text comes in pieces.
func FuzzScrubber(f *testing.F) {
	f.Add("canary-1", "a", 3, 5)
	f.Add("aaaaaaa", "aaaaaaaaaaaaaaa", 1, 1)
	f.Add(odd, url.QueryEscape(odd)+odd[:9], 2, 700)
	f.Add("abcabcabd", "abcabcabcabdabcabc", 4, 16)
	f.Fuzz(func(t *testing.T, secret, text string, piece, room int) {
		if len(secret) > 200 || len(text) > 2000 || piece < 1 || room < 1 || room > 5000 {
			t.Skip("not a case")
		}
		s := newScrubber([]string{secret, secret + "x"})
		for _, full := range []string{text, text + secret, secret + text, text + base64.StdEncoding.EncodeToString([]byte("u:"+secret)) + text} {
			want := naive(s, full)
			if got := through(t, s, full, piece, room); got != want {
				t.Errorf("secret %q in %q: %q, want %q", secret, full, got, want)
			}
			if got := s.text(full); got != want {
				t.Errorf("secret %q in the header %q: %q, want %q", secret, full, got, want)
			}
		}
	})
}

func BenchmarkScrub(b *testing.B) {
	s := newScrubber([]string{"ghp_16C7e42F292c6912E7710c838347Ae178B4a"})
	text := []byte(strings.Repeat(`{"key":"HUB-7","summary":"Rotate the demo certificates"},`, 700))[:32<<10]
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if spans := find(s, text, nil); spans != nil {
			b.Fatal(spans)
		}
	}
}

func BenchmarkNewScrubber(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newScrubber([]string{"ghp_16C7e42F292c6912E7710c838347Ae178B4a"})
	}
}
