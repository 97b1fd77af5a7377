package docs_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The reference names exactly the variables that the style sheet has, with
// their defaults.
func TestReferenceOfVariables(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^    (--ly-[a-z-]+): (.*);$`).FindAllStringSubmatch(read(t, "../httpadapter/assets/lanyard.css"), -1) {
		want = append(want, m[1]+" "+m[2])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(--ly-[a-z-]+)` \\| `(.*?)` \\|").FindAllStringSubmatch(read(t, "reference/css.md"), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("docs/reference/css.md has\n%s\nand lanyard.css\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The reference names every table and every column.
func TestReferenceOfTables(t *testing.T) {
	t.Parallel()
	said := read(t, "reference/tables.md")
	files, err := filepath.Glob("../store/bunstore/migrations/sqlite/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := regexp.MustCompile(`(?m)^CREATE TABLE (\w+)|^    ([a-z_]+) +(?:TEXT|INTEGER|BLOB)|ADD COLUMN (\w+)`)
	n := 0
	for _, file := range files {
		for _, m := range names.FindAllStringSubmatch(read(t, file), -1) {
			name := m[1] + m[2] + m[3]
			if everywhere := []string{"tenant", "subject", "version", "key_id"}; slices.Contains(everywhere, name) {
				continue
			}
			if n++; !strings.Contains(said, "`"+name+"`") && !strings.Contains(said, "## "+name) && !strings.Contains(said, "and "+name) {
				t.Errorf("docs/reference/tables.md does not name %s", name)
			}
		}
	}
	if n < 70 {
		t.Errorf("%d tables and columns were found in the migrations, want all", n)
	}
}

// The reference names every package that a host can import, and the command.
func TestReferenceOfPackages(t *testing.T) {
	t.Parallel()
	said := read(t, "reference.md")
	out, err := exec.CommandContext(t.Context(), "go", "list", "../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for path := range strings.FieldsSeq(string(out)) {
		name := strings.TrimPrefix(path, "github.com/aichub/lanyard/")
		if top, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"docs", "examples", "internal", "scripts"}, top) || strings.Contains(name, "/internal/") {
			continue
		}
		if n++; !strings.Contains(said, "`"+name+"`") && path != "github.com/aichub/lanyard" {
			t.Errorf("docs/reference.md does not name %s", name)
		}
	}
	if n < 15 {
		t.Errorf("%d packages were found, want all", n)
	}
}
