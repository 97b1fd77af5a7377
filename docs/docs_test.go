package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sources are compiled and hold every line of Go that the documents show.
var sources = []string{"../examples/minimal/*.go", "../examples/aichub/*.go", "../integration/elsewhere/*.go", "../integration/embed/*.go", "embed_test.go", "login_test.go", "snippets_test.go", "providers_test.go", "language_test.go"}

var (
	goBlock    = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	jsonBlock  = regexp.MustCompile("(?ms)^```json\n(.*?)^```$")
	shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	link       = regexp.MustCompile(`\]\(([^)\s]*)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	anchor     = regexp.MustCompile(`<a id="([^"]+)">`)
	fenced     = regexp.MustCompile("(?ms)^```.*?^```$")
	not        = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

	// The documents leave this out, and say so.
	errorCheck = regexp.MustCompile(`(?m)^\s*if err != nil \{\n\s*(return|t\.Fatal\()(err| err|.*)\)?\n\s*\}\n`)
)

func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"../*.md", "*.md", "*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 5 {
		t.Fatalf("found the documents %q only", files)
	}
	return files
}

// Go in a document is a piece of a file that compiles, so it cannot be wrong
// for longer than a test run.
func TestGoInDocumentsCompiles(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, pattern := range sources {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("Glob(%q) = %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text := read(t, file)
			code.WriteString(flat(text) + flat(errorCheck.ReplaceAllString(text, "")))
		}
	}
	blocks := 0
	for _, file := range documents(t) {
		if file == "mount.md" {
			continue // whole files: TestMountAsWritten compiles and runs them
		}
		for _, block := range goBlock.FindAllStringSubmatch(read(t, file), -1) {
			blocks++
			if !strings.Contains(code.String(), flat(block[1])) {
				t.Errorf("%s shows Go that stands in none of %q:\n%s", file, sources, block[1])
			}
		}
	}
	if blocks < 5 {
		t.Errorf("found %d blocks of Go in the documents, want more: is the pattern wrong?", blocks)
	}
}

// A shell can read the commands that a document shows, and a program its JSON.
func TestOtherCodeInDocumentsIsWellFormed(t *testing.T) {
	t.Parallel()
	commands, objects := 0, 0
	for _, file := range documents(t) {
		text := read(t, file)
		for _, block := range shellBlocks(text) {
			commands++
			if out, err := exec.CommandContext(t.Context(), "sh", "-nc", block).CombinedOutput(); err != nil {
				t.Errorf("%s shows commands that no shell reads: %s%s", file, out, block)
			}
		}
		for _, block := range jsonBlock.FindAllStringSubmatch(text, -1) {
			if objects++; !json.Valid([]byte(block[1])) {
				t.Errorf("%s shows JSON that is none:\n%s", file, block[1])
			}
		}
	}
	if commands < 20 || objects < 2 {
		t.Errorf("found %d blocks of commands and %d of JSON, want more: is the pattern wrong?", commands, objects)
	}
}

// A link leads to a file that is there, and to a heading that it has.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	links := 0
	for _, file := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			path, fragment, hasFragment := strings.Cut(found[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", file, found[1], err)
				continue
			}
			if links++; hasFragment && !slices.Contains(anchors(read(t, target)), fragment) {
				t.Errorf("%s links to %s, which has no such heading", file, found[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("found %d links within the documents, want more: is the pattern wrong?", links)
	}
}

// Every document can be found from the index, without asking where else it
// might be.
func TestIndexIsComplete(t *testing.T) {
	t.Parallel()
	index := read(t, "README.md")
	for _, file := range documents(t) {
		if strings.HasPrefix(file, "..") || file == "README.md" {
			continue
		}
		if file := filepath.ToSlash(file); !strings.Contains(index, "]("+file+")") {
			t.Errorf("docs/README.md does not name %s", file)
		}
	}
}

// anchors lists what a link into a document may name: its headings, as GitHub
// makes ids of them, and what it names itself.
func anchors(text string) (ids []string) {
	text = fenced.ReplaceAllString(text, "")
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		ids = append(ids, strings.ReplaceAll(not.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-"))
	}
	for _, found := range anchor.FindAllStringSubmatch(text, -1) {
		ids = append(ids, found[1])
	}
	return ids
}

// flat takes the indentation away, and blank lines.
func flat(code string) string {
	lines := []string{""}
	for line := range strings.SplitSeq(code, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(append(lines, ""), "\n")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
