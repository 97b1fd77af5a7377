package main

import (
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store/sqlite"
)

// A host that adds a keyring later signs what it made before, and nothing that
// its history does not vouch for.
func TestKeysSign(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner := lanyard.Owner{Subject: "svc:ci"}
	var made []apikey.Created
	s.with(t, func(st *sqlite.Store, _ *crypto.Sealer) {
		keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic"})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			k, err := keys.Create(t.Context(), owner, apikey.CreateRequest{Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, k)
		}
		if err := keys.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	id := func(i int) string { return made[i].Key.ID }
	call(t, "keys", "delete", "-database", s.database, id(1)).want(t, "keys delete", exitOK)
	s.exec(t, `UPDATE lanyard_api_keys SET deleted_at = NULL WHERE id = ?`, id(1))
	s.exec(t, `DELETE FROM lanyard_events WHERE object = ?`, id(2))
	now := time.Now().UTC().Format(time.RFC3339Nano)
	sign := func(flags ...string) said {
		return call(t, slices.Concat([]string{"keys", "sign", "-database", s.database, "-keyring", s.keyring}, flags, []string{now})...)
	}

	for _, flags := range [][]string{{"-dry-run"}, nil} {
		got := decode[signReport](t, sign(append(flags, "-json")...).want(t, "keys sign", exitProblem))
		reasons := map[string]string{}
		for _, r := range got.Refused {
			reasons[r.ID] = r.Reason
		}
		if !slices.Equal(got.Signed, []string{id(0)}) || len(got.Unwitnessed) != 0 || !got.Done || got.DryRun != (flags != nil) ||
			len(reasons) != 2 || reasons[id(1)] != "deleted" || reasons[id(2)] != "no_history" {
			t.Errorf("keys sign %q says %+v", flags, got)
		}
	}
	sign().want(t, "keys sign again", exitProblem, "0 signed", "2 refused", `refused      "`+id(1)+`"  deleted: the key was deleted`)
	sign("-history-since", now).want(t, "keys sign of a purged history", exitProblem, "1 signed, 1 of them unwitnessed", `unwitnessed  "`+id(2)+`"`)
	call(t, "keys", "sign", "-database", s.database, "-keyring", s.keyring, "2020-01-01T00:00:00Z").want(t, "keys sign of long ago", exitProblem, "0 signed", "1 refused")
	call(t, "keys", "delete", "-database", s.database, id(1)).want(t, "keys delete", exitOK)
	sign().want(t, "keys sign of what is sound", exitOK, "0 signed", "0 refused")

	s.with(t, func(st *sqlite.Store, sealer *crypto.Sealer) {
		keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{true, false, true} {
			if _, err := keys.Verify(t.Context(), made[i].Secret.Reveal()); (err == nil) != want {
				t.Errorf("Verify() of key %d = %v, want it good: %t", i, err, want)
			}
		}
		if err := keys.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
