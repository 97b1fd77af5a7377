package lanyard_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	texttemplate "text/template"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/aichub/lanyard"
)

// canary is what no printer may show.
const canary = "CANARY-9f2c41-hunter2"

// The shapes in which a secret sits when somebody prints what is around it.
type (
	exported   struct{ Key lanyard.Secret }
	unexported struct{ key lanyard.Secret }
	pointer    struct{ key *lanyard.Secret }
	embedded   struct{ lanyard.Secret }
	hidden     struct {
		Name string
		deep struct{ list []unexported }
	}
	asAny struct {
		Any any
		any any
	}
	withMap struct {
		Shown  map[string]lanyard.Secret
		hidden map[string]*unexported
	}
	failing        struct{ key lanyard.Secret }
	shown          struct{ B []byte }
	generic[T any] struct {
		Shown T
		kept  T
	}
)

func (f failing) Error() string { return fmt.Sprintf("cannot use %v", f.key) }

func shapes() map[string]any {
	s := lanyard.NewSecret(canary)
	h := hidden{Name: "ana"}
	h.deep.list = []unexported{{key: s}}
	return map[string]any{
		"itself":                 s,
		"a pointer":              &s,
		"an exported field":      exported{s},
		"an unexported field":    unexported{s},
		"a pointer to one":       &unexported{s},
		"a pointer in one":       pointer{&s},
		"embedded":               embedded{s},
		"embedded, by pointer":   &embedded{s},
		"deep inside":            h,
		"an interface":           asAny{s, s},
		"a pointer in interface": asAny{&s, &unexported{s}},
		"a map":                  map[string]lanyard.Secret{"k": s},
		"maps in fields":         withMap{map[string]lanyard.Secret{"k": s}, map[string]*unexported{"k": {s}}},
		"a slice":                []lanyard.Secret{s, s},
		"a slice of any":         []any{s, &s, unexported{s}},
		"an array":               [2]lanyard.Secret{s, s},
		"an error":               failing{s},
		"joined errors":          errors.Join(failing{s}, fmt.Errorf("%v %+v: %w", s, unexported{s}, lanyard.ErrConflict)),
		"a generic type":         generic[generic[lanyard.Secret]]{generic[lanyard.Secret]{s, s}, generic[lanyard.Secret]{s, s}},
		"a slog group":           slog.GroupValue(slog.Any("k", s), slog.Any("u", unexported{s})),
		"a method value":         s.String,
	}
}

func TestSecretCannotBePrinted(t *testing.T) {
	t.Parallel()
	for name, v := range shapes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, text := range printed(v) {
				if found := shows(text); found != "" {
					t.Errorf("%s shows the secret %s: %q", how, found, text)
				}
			}
		})
	}
}

// Types nobody wrote: up to six layers of structs with exported and unexported
// fields, pointers, slices, arrays, maps and interfaces around a secret.
func TestSecretInAnyType(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := reflect.ValueOf(lanyard.NewSecret(canary))
		for range rapid.IntRange(0, 6).Draw(t, "layers") {
			v = wrapped(v, rapid.IntRange(0, 6).Draw(t, "layer"))
		}
		for how, text := range printed(v.Interface()) {
			if found := shows(text); found != "" {
				t.Fatalf("%s of a %s shows the secret %s: %q", how, v.Type(), found, text)
			}
		}
	})
}

// wrapped returns v inside one more layer.
func wrapped(v reflect.Value, layer int) reflect.Value {
	switch layer {
	case 0:
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		return p
	case 1:
		return reflect.Append(reflect.MakeSlice(reflect.SliceOf(v.Type()), 0, 1), v)
	case 2:
		m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), v.Type()))
		m.SetMapIndex(reflect.ValueOf("key"), v)
		return m
	case 3:
		a := reflect.New(reflect.ArrayOf(2, v.Type())).Elem()
		a.Index(1).Set(v)
		return a
	case 4:
		a := reflect.New(reflect.TypeFor[[]any]()).Elem()
		return reflect.Append(a, v)
	case 5:
		s := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Shown", Type: v.Type()}})).Elem()
		s.Field(0).Set(v)
		return s
	default:
		s := reflect.New(reflect.StructOf([]reflect.StructField{
			{Name: "Name", Type: reflect.TypeFor[string]()},
			{Name: "hidden", PkgPath: "example.com/p", Type: v.Type()},
		})).Elem()
		// reflect sets no unexported field by itself.
		f := s.Field(1)
		reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Set(v)
		return s
	}
}

// printed returns what every printer makes of v, errors included.
func printed(v any) map[string]string {
	out := map[string]string{}
	for verb := '!'; verb <= '~'; verb++ {
		if strings.ContainsRune("+-# 0123456789.*[", verb) {
			continue // a flag
		}
		var b strings.Builder
		for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "40", ".3", "# 40.90"} {
			fmt.Fprintf(&b, "%"+flags+string(verb)+"\n", v)
		}
		out["fmt %"+string(verb)] = b.String()
	}
	out["fmt.Println"] = fmt.Sprintln(v, []any{v})
	wrap := "%w" // vet would see that v need not be an error, which is the point
	out["fmt.Errorf %w"] = fmt.Errorf(wrap, v).Error()
	out["errors.New"] = errors.New(fmt.Sprint(v)).Error()

	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler {
			return slog.NewTextHandler(b, &slog.HandlerOptions{AddSource: true})
		},
		"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		logger := slog.New(handler(&b))
		logger.With("w", v).WithGroup("g").Info("printed", slog.String("m", fmt.Sprint(v)), slog.Any("v", v), slog.Any("a", []any{v}), slog.Group("in", slog.Any("v", v)))
		out[name] = b.String()
	}
	var b bytes.Buffer
	log.New(&b, fmt.Sprint(v), 0).Printf("%v %+v", v, v)
	out["log"] = b.String()

	for name, encode := range map[string]func() ([]byte, error){
		"json":           func() ([]byte, error) { return json.Marshal(v) },
		"json, in a map": func() ([]byte, error) { return json.Marshal(map[string]any{"v": v}) },
		"xml":            func() ([]byte, error) { return xml.Marshal(v) },
		"xml attribute": func() ([]byte, error) {
			return xml.Marshal(struct {
				V any `xml:"v,attr"`
			}{v})
		},
		"gob": func() ([]byte, error) {
			var b bytes.Buffer
			err := encodeGob(&b, v)
			return b.Bytes(), err
		},
		"text/template": func() ([]byte, error) {
			var b bytes.Buffer
			err := text.Execute(&b, map[string]any{"V": v})
			return b.Bytes(), err
		},
		"html/template": func() ([]byte, error) {
			var b bytes.Buffer
			err := html().Execute(&b, map[string]any{"V": v})
			return b.Bytes(), err
		},
	} {
		encoded, err := encode()
		out[name] = fmt.Sprintf("%s %v", encoded, err)
	}
	return out
}

// encodeGob turns a panic of the encoder, which some generated types cause,
// into an error.
func encodeGob(b *bytes.Buffer, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return gob.NewEncoder(b).Encode(v)
}

var text = texttemplate.Must(texttemplate.New("").Parse(
	`{{.V}} {{print .V}} {{println .V}} {{printf "%s %q %x %v %+v %#v" .V .V .V .V .V .V}} {{html .V}} {{js .V}} {{urlquery .V}} {{.}}`))

// html has every context in which html/template escapes differently.
var html = sync.OnceValue(func() *htmltemplate.Template {
	return htmltemplate.Must(htmltemplate.New("").Parse(
		`<p title="{{.V}}" {{.V}} style="color: {{.V}}">{{.V}}</p><a href="/?q={{.V}}" onclick="f({{.V}})">x</a>` +
			`<script>let v = {{.V}}, s = "{{.V}}", o = {{.}};</script><style>p { color: {{.V}} }</style><textarea>{{.V}}</textarea>`))
})

// shows names the form in which the secret stands in text, "" for none.
func shows(text string) string {
	lower := strings.ToLower(text)
	list := strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]")
	for form, want := range map[string]string{
		"as it is":          strings.ToLower(canary),
		"in hex":            hex.EncodeToString([]byte(canary)),
		"in spaced hex":     fmt.Sprintf("% x", canary),
		"in prefixed hex":   fmt.Sprintf("%# x", canary),
		"as numbers":        list,
		"as JSON numbers":   strings.ReplaceAll(list, " ", ","),
		"as Go hex numbers": strings.ReplaceAll(fmt.Sprintf("%# x", canary), " ", ", "),
	} {
		if strings.Contains(lower, want) {
			return form
		}
	}
	// base64 begins anew every three bytes, so a secret has three spellings
	// inside a longer text; the middle of each is always there.
	for shift := range 3 {
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, shift), canary...))
		if strings.Contains(text, enc[4:len(enc)-4]) {
			return "in base64"
		}
	}
	return ""
}

// What would find a secret finds one.
func TestShows(t *testing.T) {
	t.Parallel()
	leaky := struct{ b []byte }{[]byte(canary)}
	found := map[string]bool{}
	for how, text := range printed(leaky) {
		found[how] = shows(text) != ""
	}
	for _, how := range []string{"fmt %v", "fmt %x", "fmt %X", "fmt %s", "fmt %q", "fmt %d", "fmt.Println", "fmt.Errorf %w", "slog text", "log", "text/template", "html/template"} {
		if !found[how] {
			t.Errorf("shows() misses a []byte printed by %s: %q", how, printed(leaky)[how])
		}
	}
	for _, how := range []string{"json", "xml"} {
		if text := printed(shown{[]byte(canary)})[how]; shows(text) == "" {
			t.Errorf("shows() misses a []byte encoded by %s: %q", how, text)
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s := lanyard.NewSecret(canary)
	if got := s.Reveal(); got != canary {
		t.Errorf("Reveal() = %q, want %q", got, canary)
	}
	if s.IsZero() {
		t.Error("IsZero() of a secret = true, want false")
	}
	for _, zero := range []lanyard.Secret{{}, lanyard.NewSecret("")} {
		if !zero.IsZero() || zero.Reveal() != "" {
			t.Errorf("an empty secret: IsZero() = %v, Reveal() = %q, want true and nothing", zero.IsZero(), zero.Reveal())
		}
	}
	// An empty secret looks like any other.
	const want = "[redacted]"
	for _, s := range []lanyard.Secret{s, {}} {
		for format, got := range map[string]string{
			"%v": fmt.Sprintf("%v", s), "%s": fmt.Sprintf("%s", s), "%q": fmt.Sprintf("%q", s), "%#v": fmt.Sprintf("%#v", s), "%x": fmt.Sprintf("%x", s), "%d": fmt.Sprintf("%d", s),
			"String": s.String(), "GoString": s.GoString(), "LogValue": s.LogValue().String(),
		} {
			if got != want {
				t.Errorf("%s = %q, want %q", format, got, want)
			}
		}
		if got, err := json.Marshal(exported{s}); err != nil || string(got) != `{"Key":"[redacted]"}` {
			t.Errorf("json.Marshal() = %s, %v, want [redacted]", got, err)
		}
		if got, err := xml.Marshal(exported{s}); err != nil || string(got) != `<exported><Key>[redacted]</Key></exported>` {
			t.Errorf("xml.Marshal() = %s, %v, want [redacted]", got, err)
		}
		if err := gob.NewEncoder(new(bytes.Buffer)).Encode(exported{s}); err == nil {
			t.Error("gob encodes a secret, want an error")
		}
	}
	if err := json.Unmarshal([]byte(`{"Key":"`+canary+`"}`), new(exported)); err == nil || shows(err.Error()) != "" {
		t.Errorf("json.Unmarshal() into a secret = %v, want an error without the text", err)
	}
	if reflect.TypeFor[lanyard.Secret]().Comparable() {
		t.Error("secrets can be compared with ==, which takes as long as they are alike")
	}
}

func TestSecretIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := lanyard.NewSecret(canary)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if s.Reveal() != canary || fmt.Sprint(s) != "[redacted]" {
				t.Error("a secret changed under concurrent use")
			}
		})
	}
	all.Wait()
}
