package profile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// What a store keeps and an export must not hold.
var (
	canaryHash     = bytes.Repeat([]byte{0xc1}, store.HashSize)
	canaryMAC      = []byte("CANARY-mac-of-the-row")
	canaryToken    = []byte("CANARY-create-token")
	canaryDigest   = []byte("CANARY-create-digest")
	canaryEnvelope = []byte("CANARY-envelope")
	canaryWrapped  = []byte("CANARY-wrapped-key")
)

// everything stores one of each kind of record for an owner.
func everything(t *testing.T, st store.Store, owner lanyard.Owner) {
	t.Helper()
	ctx, id := t.Context(), func(what string) string { return what + "-" + owner.Tenant }
	hash := slices.Concat([]byte(owner.Tenant), canaryHash)[:store.HashSize]
	key, err := st.CreateOwnerKey(ctx, store.OwnerKey{ID: id("ok"), Owner: owner, Secrets: "keyring", KeyVersion: "1", Wrapped: canaryWrapped, CreatedAt: start})
	if err != nil {
		t.Fatalf("CreateOwnerKey() = %v, want nil", err)
	}
	err = st.CreateAPIKey(ctx, store.APIKey{
		ID: id("k"), Owner: owner, Name: "laptop", Hint: "aic_k1…", Hash: hash, MAC: canaryMAC, Scopes: []string{"read"},
		CreatedAt: start, ExpiresAt: start.Add(24 * time.Hour), CreateToken: canaryToken, CreateDigest: canaryDigest,
	}, 50, lanyard.NewEvent(ctx, start, owner, "api_key.created", id("k")))
	if err != nil {
		t.Fatalf("CreateAPIKey() = %v, want nil", err)
	}
	if err := st.RecordKeyUse(ctx, []store.KeyUse{{ID: id("k"), At: start.Add(time.Hour)}}); err != nil {
		t.Fatalf("RecordKeyUse() = %v, want nil", err)
	}
	err = st.CreateProviderToken(ctx, store.ProviderToken{
		ID: id("t"), Owner: owner, ProviderID: "jira-cloud", MethodID: "api-token", Label: "work", Fields: map[string]string{"site": "acme"},
		Secrets:    map[string]store.SealedSecret{"api_token": {Envelope: canaryEnvelope, Version: 1, UpdatedAt: start.Add(time.Second)}},
		OwnerKeyID: key.ID, Origin: "https://acme.atlassian.net", Account: store.Account{ID: "a1", Name: "Ana", Email: "ana@acme.example"},
		Verdict: "ok", Reason: "fine", CheckedAt: start, ExpiresAt: start.Add(48 * time.Hour), CreatedAt: start, UpdatedAt: start,
	}, 100, lanyard.NewEvent(ctx, start, owner, "provider_token.created", id("t")))
	if err != nil {
		t.Fatalf("CreateProviderToken() = %v, want nil", err)
	}
	if err := st.RecordTokenUse(ctx, owner, id("t"), start.Add(2*time.Hour)); err != nil {
		t.Fatalf("RecordTokenUse() = %v, want nil", err)
	}
}

const wantExport = `{
  "tenant": "acme",
  "sub": "ana",
  "exported_at": "2026-03-01T13:00:00Z",
  "deactivated_at": "2026-03-01T13:00:00Z",
  "profile": {
    "email": "ana@example.com",
    "email_verified": true,
    "given_name": "Aninha",
    "family_name": "Souza",
    "name": "Aninha Souza",
    "directory": {
      "given_name": "Ana",
      "family_name": "Souza",
      "name": "Ana de Souza"
    },
    "locale": "pt-BR",
    "zoneinfo": "America/Sao_Paulo",
    "created_at": "2026-03-01T12:00:00Z",
    "updated_at": "2026-03-01T12:00:00Z"
  },
  "api_keys": [
    {
      "id": "k-acme",
      "name": "laptop",
      "hint": "aic_k1…",
      "scopes": [
        "read"
      ],
      "created_at": "2026-03-01T12:00:00Z",
      "last_used_at": "2026-03-01T13:00:00Z",
      "expires_at": "2026-03-02T12:00:00Z"
    }
  ],
  "provider_tokens": [
    {
      "id": "t-acme",
      "provider_id": "jira-cloud",
      "method_id": "api-token",
      "label": "work",
      "fields": {
        "site": "acme"
      },
      "secrets": [
        {
          "name": "api_token",
          "updated_at": "2026-03-01T12:00:01Z"
        }
      ],
      "origin": "https://acme.atlassian.net",
      "account": {
        "id": "a1",
        "name": "Ana",
        "email": "ana@acme.example"
      },
      "verdict": "ok",
      "reason": "fine",
      "checked_at": "2026-03-01T12:00:00Z",
      "expires_at": "2026-03-03T12:00:00Z",
      "created_at": "2026-03-01T12:00:00Z",
      "updated_at": "2026-03-01T12:00:00Z",
      "last_used_at": "2026-03-01T14:00:00Z"
    }
  ],
  "activity": null
}`

func TestExport(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		for _, owner := range []lanyard.Owner{ana, eve} {
			everything(t, b.store, owner)
			p := signedIn()
			p.Owner = owner
			b.seen(t, p)
		}
		ctx := lanyard.WithRequest(t.Context(), lanyard.Request{ID: "req-1", IP: "203.0.113.7", UserAgent: "curl/8"})
		if _, err := b.Update(ctx, ana, 0, profile.Update{GivenName: profile.Set("Aninha")}); err != nil {
			t.Fatalf("Update() = %v, want nil", err)
		}
		b.clock.advance(time.Hour)
		if err := b.Deactivate(t.Context(), ana); err != nil {
			t.Fatalf("Deactivate() = %v, want nil", err)
		}
		// More than one page of an export, which ends between two of one instant.
		b.happened(t, ana, 502)

		x, err := b.Export(t.Context(), ana)
		if err != nil {
			t.Fatalf("Export() = %v, want nil", err)
		}
		x.ExportedAt = start.Add(time.Hour)
		activity := x.Activity
		x.Activity = nil
		if got, err := json.MarshalIndent(x, "", "  "); err != nil || string(got) != wantExport {
			t.Errorf("Export() = %s, %v, want %s", got, err, wantExport)
		}
		history := b.history(t, ana)
		if len(activity) != len(history) || len(activity) != 507 {
			t.Fatalf("the export holds %d events of %d, want all 507", len(activity), len(history))
		}
		for i, e := range history {
			got := activity[i]
			if got.ID != e.ID || got.Action != e.Action || got.Object != e.Object || got.Via != e.Via || got.Actor.Subject != e.Actor.Subject ||
				got.RequestID != e.RequestID || got.IP != e.IP || got.UserAgent != e.UserAgent || got.Detail[profile.DetailFields] != e.Detail[profile.DetailFields] {
				t.Errorf("event %d = %+v, want %+v", i, got, e)
			}
		}
		all, err := json.Marshal(activity)
		if err != nil || !strings.Contains(string(all), `"user_agent":"curl/8"`) {
			t.Errorf("the history says nothing of the request: %v", err)
		}
		for _, secret := range [][]byte{canaryHash[:16], canaryMAC, canaryToken, canaryDigest, canaryEnvelope, canaryWrapped} {
			text := fmt.Sprintf("%s %+v %s", wantExport, x, all)
			for _, form := range []string{string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret)[:16], strings.Trim(fmt.Sprintf("%d", secret), "[]")} {
				if strings.Contains(text, form) {
					t.Errorf("the export holds %q", secret)
				}
			}
		}
		for _, other := range []string{`"evil"`, "-evil", "Tenant:evil"} {
			if strings.Contains(string(all)+fmt.Sprintf("%+v", x), other) {
				t.Errorf("the export holds something of another tenant: %s", other)
			}
		}
	})
}

// A deleted key is in the history and in no list.
func TestExportOfADeletedKey(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		everything(t, b.store, ana)
		k := store.APIKey{ID: "k-acme", Owner: ana, DeletedAt: start.Add(time.Hour)}
		e := lanyard.NewEvent(t.Context(), k.DeletedAt, ana, "api_key.deleted", k.ID).With("name", "laptop")
		if err := b.store.DeleteAPIKey(t.Context(), k, e); err != nil {
			t.Fatalf("DeleteAPIKey() = %v, want nil", err)
		}
		x, err := b.Export(t.Context(), ana)
		if err != nil || x.APIKeys == nil || len(x.APIKeys) > 0 {
			t.Errorf("Export() lists the keys %+v (%v), want none", x.APIKeys, err)
		}
		if newest := x.Activity[0]; newest.Action != e.Action || newest.Object != k.ID || newest.Detail["name"] != "laptop" {
			t.Errorf("the newest event is %+v, want the deletion of the key", newest)
		}
	})
}

// Of an owner nobody knows there is little, and that is no error.
func TestExportOfNobody(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	x, err := b.Export(t.Context(), lanyard.Owner{Subject: "ana"})
	if err != nil {
		t.Fatalf("Export() = %v, want nil", err)
	}
	const want = `{"sub":"ana","exported_at":"2026-03-01T12:00:00Z","api_keys":[],"provider_tokens":[],"activity":[]}`
	if got, err := json.Marshal(x); err != nil || string(got) != want {
		t.Errorf("Export() of nobody = %s, %v, want %s", got, err, want)
	}
	_, err = b.Export(t.Context(), lanyard.Owner{})
	wantInput(t, "Export() of no owner", err, "owner", lanyard.CodeRequired)
}

// A store that keeps profiles only has only those to give.
func TestExportOfASmallStore(t *testing.T) {
	t.Parallel()
	small := struct{ profile.Store }{memory.New()}
	svc := profile.NewService(small, &profile.Options{Now: newClock().now})
	if _, err := svc.Seen(t.Context(), signedIn()); err != nil {
		t.Fatalf("Seen() = %v, want nil", err)
	}
	x, err := svc.Export(t.Context(), ana)
	if err != nil || x.Profile == nil || x.APIKeys != nil || x.ProviderTokens != nil || len(x.Activity) != 1 {
		t.Errorf("Export() = %+v, %v, want profile and history only", x, err)
	}
}
