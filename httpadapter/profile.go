package httpadapter

import (
	"net/http"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
)

// profileView is a profile as the API shows it, named by the standard claims
// of OpenID Connect Core 1.0 section 5.1.
type profileView struct {
	Sub           string               `json:"sub"`
	Tenant        string               `json:"tenant,omitzero"`
	Email         string               `json:"email"`
	EmailVerified bool                 `json:"email_verified"`
	GivenName     string               `json:"given_name"`
	FamilyName    string               `json:"family_name"`
	Name          string               `json:"name"`
	Fields        map[string]fieldRule `json:"fields"`
}

// fieldRule says who decides a member.
type fieldRule struct {
	Editable  bool   `json:"editable"`
	ManagedBy string `json:"managed_by"` // "identity_provider" or "user"
}

func viewProfile(p profile.Profile) profileView {
	directory := fieldRule{ManagedBy: "identity_provider"}
	name := func(edited bool) fieldRule {
		if edited {
			return fieldRule{Editable: true, ManagedBy: "user"}
		}
		return fieldRule{Editable: true, ManagedBy: "identity_provider"}
	}
	return profileView{
		Sub: p.Owner.Subject, Tenant: p.Owner.Tenant,
		Email: p.Email, EmailVerified: p.EmailVerified,
		GivenName: p.GivenName, FamilyName: p.FamilyName, Name: p.Name,
		Fields: map[string]fieldRule{
			"email": directory, "email_verified": directory, "name": directory,
			"given_name": name(p.GivenNameEdited), "family_name": name(p.FamilyNameEdited),
		},
	}
}

func profileAnswer(p profile.Profile) answer {
	return answer{status: http.StatusOK, body: viewProfile(p), version: p.Version, settled: true}
}

func (h *Handler) showProfile(c *call) (answer, error) {
	p, err := h.currentProfile(c)
	return profileAnswer(p), err
}

// currentProfile is the caller's: a session's was just seen, a key's is read.
func (h *Handler) currentProfile(c *call) (profile.Profile, error) {
	if !c.caller.byKey() {
		return c.caller.profile, nil
	}
	return h.config.Profiles.Profile(c.r.Context(), c.caller.Owner)
}

func (h *Handler) updateProfile(c *call) (answer, error) {
	type request struct {
		GivenName  member[string] `json:"given_name"`
		FamilyName member[string] `json:"family_name"`
	}
	body, err := decode[request](c, "name", "fields")
	if err != nil {
		return answer{}, err
	}
	version, err := precondition(c, func() (int64, error) {
		p, err := h.currentProfile(c)
		return p.Version, err
	})
	if err != nil {
		return answer{}, err
	}
	p, err := h.config.Profiles.Update(c.r.Context(), c.caller.Owner, version, profile.Update{
		GivenName: edit(body.GivenName), FamilyName: edit(body.FamilyName),
	})
	return profileAnswer(p), stale(c, err)
}

// edit makes the change of a name: null goes back to the directory's.
func edit(m member[string]) *profile.Edit {
	switch {
	case !m.set:
		return nil
	case m.null:
		return profile.FromDirectory()
	}
	return profile.Set(m.value)
}

// activityView is one line of history.
type activityView struct {
	ID        string            `json:"id"`
	At        timestamp         `json:"at"`
	Action    string            `json:"action"`
	Object    string            `json:"object,omitzero"`
	Via       lanyard.Via       `json:"via"`
	Actor     string            `json:"actor"`
	IP        string            `json:"ip,omitzero"`
	UserAgent string            `json:"user_agent,omitzero"`
	Detail    map[string]string `json:"detail,omitempty"`
}

func (h *Handler) listActivity(c *call) (answer, error) {
	token, err := pageToken(c.r)
	if err != nil {
		return answer{}, err
	}
	page, err := h.config.Profiles.Activity(c.r.Context(), c.caller.Owner, profile.Page{Token: token})
	if err != nil {
		return answer{}, err
	}
	type response struct {
		items[activityView]
		NextPageToken string `json:"next_page_token,omitzero"`
	}
	return answer{status: http.StatusOK, body: response{
		items: list(page.Events, func(e lanyard.Event) activityView {
			return activityView{
				ID: e.ID, At: timestamp(e.At), Action: e.Action, Object: e.Object, Via: e.Via,
				Actor: e.Actor.Subject, IP: e.IP, UserAgent: e.UserAgent, Detail: e.Detail,
			}
		}),
		NextPageToken: page.Next,
	}}, nil
}

// pageToken returns the page_token of the query, which may stand there once.
func pageToken(r *http.Request) (string, error) {
	values := r.URL.Query()["page_token"]
	if len(values) > 1 {
		return "", &lanyard.InputError{Field: "page_token", Code: lanyard.CodeInvalid, Message: "the parameter stands twice"}
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}
