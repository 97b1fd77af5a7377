package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every call that the documents show is one that the command takes: the command
// is there, and so are its flags and as many arguments.
func TestDocumentsCallItRight(t *testing.T) {
	t.Parallel()
	shell, call := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$"), regexp.MustCompile(`^(?:lanyard|go run github\.com/aichub/lanyard/cmd/lanyard@latest) +(.*)$`)
	calls := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, block := range shell.FindAllStringSubmatch(string(text), -1) {
				for line := range strings.SplitSeq(block[1], "\n") {
					found := call.FindStringSubmatch(line)
					if found == nil {
						continue
					}
					said, _, _ := strings.Cut(found[1], "#")
					calls++
					if problem := misses(strings.Fields(said)); problem != "" {
						t.Errorf("%s shows %q: %s", file, line, problem)
					}
				}
			}
		}
	}
	if calls < 15 {
		t.Errorf("found %d calls of lanyard in the documents, want more: is the pattern wrong?", calls)
	}
}

// misses says what is wrong with a call, without making it.
func misses(args []string) string {
	c, rest := find(args)
	if c == nil {
		return "there is no such command"
	}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Bool("json", false, "")
	c.prepare(&job{}, flags)
	if err := flags.Parse(rest); err != nil {
		return err.Error()
	}
	if flags.NArg() != c.arity() {
		return "it wants " + strings.TrimSpace(c.args+" and nothing else")
	}
	return ""
}
