package migrations_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard/store/bunstore/migrations"
)

// Both databases have the same migrations, each of which says who can still
// read the tables, and touches no table but ours.
func TestMigrations(t *testing.T) {
	t.Parallel()
	var all [][]string
	for database, tree := range map[string]fs.FS{"postgres": migrations.Postgres(), "sqlite": migrations.SQLite()} {
		names, err := fs.Glob(tree, "*")
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", database, names, err)
		}
		all = append(all, names)
		for i, name := range names {
			if !strings.HasPrefix(name, fmt.Sprintf("%05d_", i+1)) {
				t.Errorf("%s: the file %d is %s", database, i+1, name)
			}
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				t.Fatal(err)
			}
			says := regexp.MustCompile(`(?m)^INSERT INTO lanyard_schema \(version, min_reader\) VALUES \((\d+), (\d+)\);$`).FindStringSubmatch(string(text))
			if says == nil || says[1] != fmt.Sprint(i+1) {
				t.Errorf("%s: %s records %v, want its number and its oldest reader", database, name, says)
			}
			for _, made := range regexp.MustCompile(`(?m)^(?:CREATE|ALTER|DROP) (?:UNIQUE )?(?:TABLE|INDEX) (\S+)`).FindAllStringSubmatch(string(text), -1) {
				if !strings.HasPrefix(made[1], "lanyard_") {
					t.Errorf("%s: %s is about %s", database, name, made[1])
				}
			}
		}
	}
	if !slices.Equal(all[0], all[1]) {
		t.Errorf("the databases have the migrations %v and %v", all[0], all[1])
	}
}
