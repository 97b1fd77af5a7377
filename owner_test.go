package lanyard_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
)

func TestOwnerValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", lanyard.MaxOwnerLen)
	for name, tt := range map[string]struct {
		owner lanyard.Owner
		code  string // "" = valid
	}{
		"a subject":                    {lanyard.Owner{Subject: "ana"}, ""},
		"tenant and subject":           {lanyard.Owner{Tenant: "https://idp.example.com", Subject: "00u1"}, ""},
		"a service account":            {lanyard.Owner{Subject: "svc:ci"}, ""},
		"the longest":                  {lanyard.Owner{Tenant: long, Subject: long}, ""},
		"another script":               {lanyard.Owner{Tenant: "会社", Subject: "ана"}, ""},
		"a space":                      {lanyard.Owner{Subject: " "}, ""},
		"nobody":                       {lanyard.Owner{}, lanyard.CodeRequired},
		"a tenant only":                {lanyard.Owner{Tenant: "acme"}, lanyard.CodeRequired},
		"a subject too long":           {lanyard.Owner{Subject: long + "x"}, lanyard.CodeTooLong},
		"a tenant too long":            {lanyard.Owner{Tenant: long + "x", Subject: "ana"}, lanyard.CodeTooLong},
		"too long in bytes only":       {lanyard.Owner{Subject: strings.Repeat("é", 128)}, lanyard.CodeTooLong},
		"NUL in the subject":           {lanyard.Owner{Subject: "ana\x00"}, lanyard.CodeInvalid},
		"NUL in the tenant":            {lanyard.Owner{Tenant: "\x00", Subject: "ana"}, lanyard.CodeInvalid},
		"invalid UTF-8 in the subject": {lanyard.Owner{Subject: "an\xff"}, lanyard.CodeInvalid},
		"half a character, the tenant": {lanyard.Owner{Tenant: "\xc3", Subject: "ana"}, lanyard.CodeInvalid},
		"a surrogate":                  {lanyard.Owner{Subject: "\xed\xa0\x80"}, lanyard.CodeInvalid},
	} {
		err := tt.owner.Validate()
		if tt.code == "" {
			if err != nil {
				t.Errorf("%s: Validate() = %v, want nil", name, err)
			}
			continue
		}
		var input *lanyard.InputError
		if !errors.As(err, &input) || input.Field != "owner" || input.Code != tt.code {
			t.Errorf("%s: Validate() = %v, want owner: %s", name, err, tt.code)
			continue
		}
		if s := tt.owner.Subject; len(s) > 3 && strings.Contains(err.Error(), s) {
			t.Errorf("%s: Validate() = %q, which repeats the value", name, err)
		}
	}
}

func TestOwnersAreComparedByteForByte(t *testing.T) {
	t.Parallel()
	owners := map[lanyard.Owner]bool{}
	for _, o := range []lanyard.Owner{
		{Subject: "ana"}, {Subject: "Ana"}, {Subject: "ana "}, {Tenant: "ana", Subject: "a"}, {Tenant: "a", Subject: "na"},
		{Subject: "é"}, {Subject: "e\u0301"},
	} {
		owners[o] = true
	}
	if len(owners) != 7 {
		t.Errorf("seven owners are %d", len(owners))
	}
}
