package httpadapter_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// exchangesVariable names the file to which the tests of handlers append what
// was asked and answered, one JSON document a line. The integration module
// holds it against the OpenAPI document.
const exchangesVariable = "LANYARD_TEST_EXCHANGES"

// exchange is one request and its answer. Bodies are bytes, because not every
// test sends UTF-8.
type exchange struct {
	Test         string      `json:"test"`
	Method       string      `json:"method"`
	Target       string      `json:"target"` // below the mount, with the query
	Header       http.Header `json:"header"`
	Body         []byte      `json:"body"`
	Status       int         `json:"status"`
	AnswerHeader http.Header `json:"answer_header"`
	Answer       []byte      `json:"answer"`
}

var exchangesMu sync.Mutex

// write appends e to the file. A line is one write to a file opened for
// appending, so several processes do not mix theirs.
func (e exchange) write(t testing.TB) {
	path := os.Getenv(exchangesVariable)
	if path == "" {
		return
	}
	line, err := json.Marshal(e)
	if err != nil {
		t.Errorf("encode an exchange: %v", err)
		return
	}
	exchangesMu.Lock()
	defer exchangesMu.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Errorf("record an exchange: %v", err)
		return
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Errorf("record an exchange: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("record an exchange: %v", err)
	}
}

// recorded hands each exchange of h, which is mounted at prefix, to hear and to
// the file.
func recorded(t testing.TB, prefix string, h http.Handler, hear func(exchange)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := exchange{Test: t.Name(), Method: r.Method, Target: strings.TrimPrefix(r.URL.RequestURI(), prefix), Header: r.Header.Clone()}
		var sent bytes.Buffer
		if r.Body != nil && r.Body != http.NoBody {
			body := r.Body
			r = r.WithContext(r.Context())
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.TeeReader(body, &sent), body}
		}
		got := &tape{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(got, r)
		e.Body, e.Status, e.AnswerHeader, e.Answer = sent.Bytes(), got.status, w.Header().Clone(), got.body.Bytes()
		hear(e)
		// Without it a ServeMux has answered by itself.
		if got.Header().Get("X-Request-Id") != "" {
			e.write(t)
		}
	})
}

// tape keeps a copy of an answer.
type tape struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *tape) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *tape) Write(b []byte) (int, error) {
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

func (t *tape) Unwrap() http.ResponseWriter { return t.ResponseWriter }
