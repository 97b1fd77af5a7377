package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// attempt is a request before it is sent, still in parts so that each can be
// spoiled by itself.
type attempt struct {
	operation operation
	method    string
	path      string // below api/v1, escaped
	query     string
	header    http.Header
	object    map[string]any // the body; nil when there is none
	body      []byte         // what is sent instead of object, when not nil
	spoiled   []string       // what was done to it
}

func (a *attempt) note(format string, args ...any) {
	a.spoiled = append(a.spoiled, fmt.Sprintf(format, args...))
}

// encode returns the body as it is sent.
func (a *attempt) encode() []byte {
	if a.body != nil || a.object == nil {
		return a.body
	}
	text, err := json.Marshal(a.object)
	if err != nil {
		panic(err) // it is made of strings, numbers and the like
	}
	return text
}

// walker makes requests and remembers what it learnt from the answers.
type walker struct {
	w       *world
	d       *document
	random  *rand.Rand
	keys    []string // ids, dead ones too
	tokens  []string
	shown   []string // keys that were shown
	tags    []string
	pages   []string
	repeats []string // Idempotency-Keys
}

func (k *walker) chance(percent int) bool { return k.random.IntN(100) < percent }

func pick[T any](k *walker, from ...T) T { return from[k.random.IntN(len(from))] }

// recent picks one of the last of a list, or what stands for none.
func (k *walker) recent(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	last := list[max(0, len(list)-8):]
	return last[k.random.IntN(len(last))]
}

// valid makes a request as the document describes it.
func (k *walker) valid(o operation) *attempt {
	a := &attempt{operation: o, method: o.method, path: o.path, header: http.Header{}}
	id := k.recent(k.keys, "0000000000")
	if strings.HasPrefix(o.path, "/provider-tokens") {
		id = k.recent(k.tokens, "0000000000")
	}
	a.path = strings.ReplaceAll(a.path, "{id}", id)
	a.header.Set("Cookie", "session="+ana.Subject)
	if key := k.recent(k.shown, ""); key != "" && k.chance(5) {
		a.header.Del("Cookie")
		a.header.Set("Authorization", "Bearer "+key)
	}
	for _, p := range o.parameters {
		if k.chance(60) {
			continue
		}
		switch p["name"] {
		case "If-Match":
			a.header.Set("If-Match", pick(k, "*", k.recent(k.tags, `"1"`), `"1"`, `"1", "2", "3"`))
		case "If-None-Match":
			a.header.Set("If-None-Match", pick(k, k.recent(k.tags, `"1"`), `"99"`, `W/"2"`))
		case "Idempotency-Key":
			name := fmt.Sprintf("once-%d", k.random.IntN(1_000_000))
			if k.chance(30) {
				name = k.recent(k.repeats, name)
			}
			k.repeats = append(k.repeats, name)
			a.header.Set("Idempotency-Key", name)
		case "page_token":
			if token := k.recent(k.pages, ""); token != "" {
				a.query = "page_token=" + token
			}
		}
	}
	if len(o.bodies) > 0 {
		kind := pick(k, slices.Sorted(maps.Keys(o.bodies))...)
		a.header.Set("Content-Type", kind)
		a.object, _ = k.value("", o.bodies[kind]).(map[string]any)
		k.mean(a)
	}
	return a
}

// mean gives a body that is only as described a meaning: names and secrets of
// the one platform there is.
func (k *walker) mean(a *attempt) {
	_, secrets := a.object["secrets"]
	switch a.operation.name() {
	case "POST /provider-tokens":
		a.object["provider_id"] = jiraID
		delete(a.object, "method_id")
		delete(a.object, "fields")
		secrets = true
	case "PATCH /provider-tokens/{id}":
		delete(a.object, "fields")
	}
	if secrets {
		a.object["secrets"] = map[string]any{"token": pick(k, goodToken, goodToken, otherToken, badToken)}
	}
}

// value makes a value of a schema, for a member of that name.
func (k *walker) value(name string, schema map[string]any) any {
	switch kind := schema["type"].(type) {
	case []any: // a type, or null
		if k.chance(25) {
			return nil
		}
		one := maps.Clone(schema)
		one["type"] = kind[0]
		return k.value(name, one)
	case string:
		switch kind {
		case "object":
			return k.object(schema)
		case "array":
			out := []any{}
			for range k.random.IntN(3) {
				out = append(out, k.value(name, k.d.at(schema, "items")))
			}
			return out
		case "boolean":
			return k.chance(50)
		case "integer":
			low, _ := schema["minimum"].(float64)
			high, ok := schema["maximum"].(float64)
			if !ok {
				high = low + 1000
			}
			return pick(k, int64(low), int64(high), int64(low)+k.random.Int64N(int64(high-low)+1))
		}
	}
	return k.text(name, schema)
}

func (k *walker) object(schema map[string]any) map[string]any {
	out := map[string]any{}
	required, _ := schema["required"].([]any)
	properties := k.d.at(schema, "properties")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if slices.Contains(required, any(name)) || k.chance(60) {
			out[name] = k.value(name, k.d.at(properties, name))
		}
	}
	return out
}

func (k *walker) text(name string, schema map[string]any) string {
	switch {
	case schema["format"] == "date-time":
		at := time.Now().Add(time.Hour + time.Duration(k.random.Int64N(int64(300*24*time.Hour))))
		return at.In(pick(k, time.UTC, time.FixedZone("", -3*3600), time.FixedZone("", 14*3600))).Format(time.RFC3339Nano)
	case name == "scopes":
		return pick(k, "read", "write")
	}
	longest := 100
	if most, ok := schema["maxLength"].(float64); ok {
		longest = int(most)
	}
	length := pick(k, 1, 5, 12, longest)
	alphabet := []rune("abcdefgh XYZ-_.é漢ü'\"<>&;{}%")
	var b strings.Builder
	b.WriteByte('n')
	for range length - 2 {
		b.WriteRune(pick(k, alphabet...))
	}
	if length > 1 {
		b.WriteByte('z')
	}
	return b.String()
}
