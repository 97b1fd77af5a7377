package providertoken

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// shortestSpelling is how long a text has to be to be looked for. What is
// shorter stands in answers by chance.
const shortestSpelling = 6

// scrubber finds the spellings of a credential in what a platform answers, in
// one pass: it looks at two bytes and knows from them how far the next spelling
// can begin at the earliest (S. Wu, U. Manber, A fast algorithm for
// multi-pattern searching, 1994).
type scrubber struct {
	spellings []string
	shortest  int
	longest   int
	first     [256]bool     // what a spelling begins with
	skip      [skips]uint16 // by skipOf two bytes: how far the window may move
}

const skips = 1 << 12

func skipOf(a, b byte) int { return (int(a)<<5 ^ int(b)) % skips }

// newScrubber returns a scrubber of these texts.
func newScrubber(texts []string) *scrubber {
	s := &scrubber{}
	for _, text := range texts {
		s.spellings = append(s.spellings, spellings(text)...)
	}
	slices.Sort(s.spellings)
	s.spellings = slices.Compact(s.spellings)
	if len(s.spellings) == 0 {
		return s
	}
	s.shortest = len(slices.MinFunc(s.spellings, byLength))
	s.longest = len(slices.MaxFunc(s.spellings, byLength))
	for i := range s.skip {
		s.skip[i] = uint16(min(s.shortest-1, 1<<16-1))
	}
	for _, text := range s.spellings {
		s.first[text[0]] = true
		for end := 2; end <= s.shortest; end++ {
			far := &s.skip[skipOf(text[end-2], text[end-1])]
			*far = min(*far, uint16(min(s.shortest-end, 1<<16-1)))
		}
	}
	return s
}

func byLength(a, b string) int { return len(a) - len(b) }

// spellings returns the ways in which a text commonly stands in an answer: as it
// is, escaped for an address, JSON or HTML, in hexadecimal, and inside of longer
// base64. That of Basic credentials is base64 with the secret at one of three
// offsets.
func spellings(text string) []string {
	inHex := hex.EncodeToString([]byte(text))
	all := make([]string, 0, 48)
	all = append(all, text, inHex, strings.ToUpper(inHex))
	if strings.ContainsFunc(text, isEscaped) {
		all = append(all, inAddress(text)...)
		all = append(all, inHTML(text)...)
		all = append(all, inJSON(text)...)
	}
	for offset := range 3 {
		// What the neighbours have a part in is left out.
		from, to := (offset*8+5)/6, (offset+len(text))*8/6
		if from >= to {
			continue
		}
		padded := append(make([]byte, offset), text...)
		all = append(all, base64.RawStdEncoding.EncodeToString(padded)[from:to], base64.RawURLEncoding.EncodeToString(padded)[from:to])
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < shortestSpelling })
}

// unescaped are the characters, besides letters and digits, that the usual
// libraries leave as they are: RFC 3986 section 2.3; Go's PathEscape; Python's
// quote; ECMAScript's encodeURIComponent and encodeURI (ECMA-262 section 19.2.6);
// forms (WHATWG URL section 1.3), as Java's URLEncoder.
var unescaped = []string{"-._~", "-._~$&+=:@", "-._~/", "-._~!*'()", "-._~!*'();/?:@&=+$,#", "-._*"}

func inAddress(text string) []string {
	var all []string
	for _, plain := range unescaped {
		upper := percent(text, plain, "0123456789ABCDEF")
		lower := percent(text, plain, "0123456789abcdef")
		all = append(all, upper, lower)
		if strings.Contains(text, " ") {
			all = append(all, strings.ReplaceAll(upper, "%20", "+"), strings.ReplaceAll(lower, "%20", "+"))
		}
	}
	return all
}

// percent escapes all bytes but letters, digits and those in plain.
func percent(text, plain, digits string) string {
	out := make([]byte, 0, 3*len(text))
	for i := range len(text) {
		if c := text[i]; c < 0x80 && (!isEscaped(rune(c)) && !strings.ContainsRune("-._~", rune(c)) || strings.IndexByte(plain, c) >= 0) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

// htmlEscapers write a text as the usual libraries do: Go's html and
// html/template, Python, .NET, PHP, Java and Ruby, Handlebars, Mustache, OWASP.
var htmlEscapers = func() (all []*strings.Replacer) {
	for _, pairs := range [][]string{
		{`"`, "&#34;", "'", "&#39;"},
		{`"`, "&#34;", "'", "&#39;", "+", "&#43;"},
		{`"`, "&quot;"},
		{`"`, "&quot;", "'", "&#x27;"},
		{`"`, "&quot;", "'", "&#x27;", "+", "&#x2B;", "`", "&#x60;"},
		{`"`, "&quot;", "'", "&#039;"},
		{`"`, "&quot;", "'", "&#39;"},
		{`"`, "&quot;", "'", "&#x27;", "`", "&#x60;", "=", "&#x3D;"},
		{`"`, "&quot;", "'", "&#39;", "`", "&#x60;", "=", "&#x3D;", "/", "&#x2F;"},
		{`"`, "&quot;", "'", "&#x27;", "/", "&#x2F;"},
	} {
		all = append(all, strings.NewReplacer(append(pairs, "&", "&amp;", "<", "&lt;", ">", "&gt;")...))
	}
	return all
}()

func inHTML(text string) []string {
	all := make([]string, 0, len(htmlEscapers))
	for _, escape := range htmlEscapers {
		all = append(all, escape.Replace(text))
	}
	return all
}

// inJSON writes a text as JSON does: with nothing escaped that need not be
// (RFC 8259 section 7), without what HTML reads, as Go, and as Gson also without
// = and '; each also in ASCII alone, as Python, and with \/, as PHP. The last is
// .NET's.
func inJSON(text string) []string {
	var all []string
	for _, more := range []string{"", "<>&", "<>&='"} {
		for _, ascii := range []bool{false, true} {
			plain := jsonText(text, more, `\u%04x`, ascii)
			all = append(all, plain, strings.ReplaceAll(plain, "/", `\/`))
		}
	}
	return append(all, jsonText(text, "<>&'`+\"", `\u%04X`, true))
}

// jsonText writes a text that has no control characters.
func jsonText(text, more, escape string, ascii bool) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case strings.ContainsRune(more, c), ascii && c > 0x7e:
			for _, unit := range utf16.Encode([]rune{c}) {
				fmt.Fprintf(&b, escape, unit)
			}
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// isEscaped reports whether some way of escaping changes c: all but the
// unreserved characters of RFC 3986 section 2.3.
func isEscaped(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("-._~", c)
}

// span is a part of a text, from and to in bytes.
type span struct{ from, to int }

// find appends to spans where spellings stand in text, in order and without
// overlap. Spellings that overlap each other are all found.
func find[T ~string | ~[]byte](s *scrubber, text T, spans []span) []span {
	if len(s.spellings) == 0 {
		return spans
	}
	for end := s.shortest; end <= len(text); {
		if far := s.skip[skipOf(text[end-2], text[end-1])]; far > 0 {
			end += int(far)
			continue
		}
		from, to := end-s.shortest, 0
		for _, spelling := range s.spellings {
			if from+len(spelling) <= len(text) && string(text[from:from+len(spelling)]) == spelling {
				to = max(to, from+len(spelling))
			}
		}
		if to > 0 {
			spans = with(spans, span{from, to})
		}
		end++
	}
	return spans
}

// with appends a span that begins no earlier than the last.
func with(spans []span, next span) []span {
	if last := len(spans) - 1; last >= 0 && next.from <= spans[last].to {
		spans[last].to = max(spans[last].to, next.to)
		return spans
	}
	return append(spans, next)
}

// begun returns where the first of the endings of text begins that a spelling
// of more than least bytes begins with, or its length.
func begun[T ~string | ~[]byte](s *scrubber, text T, least int) int {
	for i := max(0, len(text)-s.longest+1); len(text)-i >= max(least, 1); i++ {
		if !s.first[text[i]] {
			continue
		}
		rest := len(text) - i
		for _, spelling := range s.spellings {
			if len(spelling) > rest && string(text[i:]) == spelling[:rest] {
				return i
			}
		}
	}
	return len(text)
}

// text returns value with what was found masked, and what is cut off at its end
// too.
func (s *scrubber) text(value string) string {
	spans := find(s, value, nil)
	if cut := begun(s, value, shortestSpelling); cut < len(value) {
		spans = with(spans, span{cut, len(value)})
	}
	return masked(value, spans)
}

// whole returns value with what was found masked, and nothing else: the
// beginning of a credential may be the id of whose it is.
func (s *scrubber) whole(value string) string { return masked(value, find(s, value, nil)) }

func masked(value string, spans []span) string {
	if spans == nil {
		return value
	}
	out := []byte(value)
	mask(out, spans)
	return string(out)
}

// mask writes over the spans. The text keeps its length, so that what was said
// of it stays true.
func mask(text []byte, spans []span) {
	for _, m := range spans {
		for i := m.from; i < m.to; i++ {
			text[i] = '*'
		}
	}
}

// scrubbing is a body on its way through a scrubber. It holds back no more than
// an ending that may be the beginning of a spelling, so a stream goes on as it
// comes.
type scrubbing struct {
	body io.ReadCloser
	s    *scrubber
	left int64 // how much may still come; below 0 is any

	held   []byte // as it came
	masked int    // how much of held belongs to a spelling that was found
	err    error  // of the body, told after held
	spans  []span

	small []byte // what is read for a reader with less room than a spelling
	ready []byte // of small
}

// Read implements [io.Reader].
func (r *scrubbing) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.ready) == 0 {
		if len(p) >= 2*r.s.longest {
			return r.fill(p)
		}
		if r.small == nil {
			r.small = make([]byte, max(512, 2*r.s.longest))
		}
		n, err := r.fill(r.small)
		if n == 0 {
			return 0, err
		}
		r.ready = r.small[:n]
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill reads into p, which has room for two spellings, until something can be
// passed on.
func (r *scrubbing) fill(p []byte) (int, error) {
	for {
		n := copy(p, r.held)
		if r.err == nil {
			n += r.more(p[n:])
		}
		text := p[:n]
		r.spans = r.spans[:0]
		if r.masked > 0 {
			r.spans = append(r.spans, span{0, r.masked})
		}
		r.spans = find(r.s, text, r.spans)
		pass := begun(r.s, text, 0)
		if r.err != nil {
			if cut := begun(r.s, text, shortestSpelling); cut < n {
				r.spans = with(r.spans, span{cut, n})
			}
			pass = n
		}
		r.held, r.masked = append(r.held[:0], text[pass:]...), 0
		if last := len(r.spans) - 1; last >= 0 {
			r.masked = max(0, r.spans[last].to-pass)
			mask(text, r.spans)
		}
		switch {
		case pass > 0:
			return pass, nil
		case r.err != nil:
			return 0, r.err
		}
	}
}

// more reads once from the body.
func (r *scrubbing) more(p []byte) int {
	if r.left >= 0 && int64(len(p)) > r.left+1 {
		p = p[:r.left+1]
	}
	n, err := r.body.Read(p)
	if r.left >= 0 && int64(n) > r.left {
		n, err = int(r.left), ErrAnswerTooLarge
	}
	if r.left >= 0 {
		r.left -= int64(n)
	}
	r.err = err
	return n
}

// scrubbed is a scrubbing behind closures, in which no printing looks.
type scrubbed struct {
	read  func([]byte) (int, error)
	close func() error
}

func (b *scrubbed) Read(p []byte) (int, error) { return b.read(p) }
func (b *scrubbed) Close() error               { return b.close() }
