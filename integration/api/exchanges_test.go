package api_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exchangesVariable names the file to which httpadapter's tests append what was
// asked and answered.
const exchangesVariable = "LANYARD_TEST_EXCHANGES"

// below is where the API lies under the mount.
const below = "/api/v1"

// exchange is one line of that file.
type exchange struct {
	Test         string
	Method       string
	Target       string
	Header       http.Header
	Body         []byte
	Status       int
	AnswerHeader http.Header `json:"answer_header"`
	Answer       []byte
}

// Every exchange of the handler's tests is as the OpenAPI document says; every
// operation of the document was tried with success, and every status seen.
func TestExchangesAreAsDescribed(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	file, err := os.Open(exchangesFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	seen, statuses, count := map[string]bool{}, map[int]int{}, 0
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("line %d is no exchange: %v", count+1, err)
		}
		count++
		if path, ok := strings.CutPrefix(e.Target, below); ok {
			e.Target = path
			statuses[e.Status]++
			for _, fault := range d.faults(e) {
				t.Errorf("%s: %s", e.Test, fault)
			}
			if o, ok := d.operation(e); ok && e.Status < 300 {
				seen[o.name()] = true
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	documented := map[int]bool{}
	for _, o := range d.operations {
		for status := range o.statuses {
			n, err := strconv.Atoi(status)
			if err != nil {
				t.Fatal(err)
			}
			documented[n] = true
		}
		if !seen[o.name()] {
			t.Errorf("no exchange of %s with success among %d", o.name(), count)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(documented)) {
		if statuses[status] == 0 {
			t.Errorf("no exchange with the status %d among %d", status, count)
		}
	}
	t.Logf("%d exchanges: %v", count, statuses)
}

// exchangesFile returns the file with the exchanges, and makes it where nobody
// named one.
func exchangesFile(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(exchangesVariable); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "exchanges.jsonl")
	run := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./httpadapter")
	run.Dir, run.Env = "../..", append(os.Environ(), exchangesVariable+"="+path)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("run httpadapter's tests: %v\n%s", err, out)
	}
	return path
}
