// Command drive goes through the quickstart with the client that ogen makes of
// the OpenAPI document, as a user's tool would: it signs in, edits the profile,
// makes a key and asks with it who it is, connects an account, tests and removes
// it, and deletes the key. The client checks every answer against the document:
// required members and headers, patterns, enumerations.
//
//	drive http://127.0.0.1:8080 http://127.0.0.1:8080/account/api/v1
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os"
	"time"

	"github.com/ogen-go/ogen/ogenerrors"

	client "lanyard.test/clients/ogen"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "drive:", err)
		os.Exit(1)
	}
}

// session is the host's. Its cookie is in the jar, under the host's own name; the
// one that the document names by way of example goes along unheeded.
type session struct{}

func (session) BearerKey(context.Context, client.OperationName) (client.BearerKey, error) {
	return client.BearerKey{}, ogenerrors.ErrSkipClientSecurity
}

func (session) HostSession(context.Context, client.OperationName) (client.HostSession, error) {
	return client.HostSession{APIKey: "in-the-jar"}, nil
}

// key is an API key.
type key string

func (k key) BearerKey(context.Context, client.OperationName) (client.BearerKey, error) {
	return client.BearerKey{Token: string(k)}, nil
}

func (key) HostSession(context.Context, client.OperationName) (client.HostSession, error) {
	return client.HostSession{}, ogenerrors.ErrSkipClientSecurity
}

// as turns an answer into the one that is wanted.
func as[T any](what string, answer any, err error) (T, error) {
	got, ok := answer.(T)
	switch {
	case err != nil:
		return got, fmt.Errorf("%s: %w", what, err)
	case !ok:
		return got, fmt.Errorf("%s = %T, want %T", what, answer, got)
	}
	fmt.Println(what, "ok")
	return got, nil
}

func run(ctx context.Context, host, api string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	signIn, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/login?as=ana", nil)
	if err != nil {
		return err
	}
	page, err := browser.Do(signIn)
	if err != nil {
		return err
	}
	page.Body.Close()
	ana, err := client.NewClient(api, session{}, client.WithClient(browser))
	if err != nil {
		return err
	}
	stranger, err := client.NewClient(api, session{}, client.WithClient(&http.Client{}))
	if err != nil {
		return err
	}
	res, err := stranger.WhoAmI(ctx)
	if _, err := as[*client.UnauthenticatedHeaders]("nobody", res, err); err != nil {
		return err
	}
	return errors.Join(profile(ctx, ana), keys(ctx, api, ana), connections(ctx, ana), history(ctx, ana))
}

func profile(ctx context.Context, ana *client.Client) error {
	shown, err := ana.GetProfile(ctx, client.GetProfileParams{})
	before, err := as[*client.ProfileHeaders]("profile", shown, err)
	if err != nil {
		return err
	}
	version := client.NewOptString(before.ETag)
	again, err := ana.GetProfile(ctx, client.GetProfileParams{IfNoneMatch: version})
	if _, err := as[*client.NotModified]("profile, unchanged", again, err); err != nil {
		return err
	}
	patch := &client.UpdateProfileApplicationMergePatchJSON{GivenName: client.NewOptNilString("Ana Maria")}
	edited, err := ana.UpdateProfile(ctx, patch, client.UpdateProfileParams{IfMatch: version})
	after, err := as[*client.ProfileHeaders]("edit", edited, err)
	if err != nil {
		return err
	}
	if after.Response.GivenName != "Ana Maria" || after.ETag == before.ETag {
		return fmt.Errorf("edit = %q with the version %s after %s", after.Response.GivenName, after.ETag, before.ETag)
	}
	edited, err = ana.UpdateProfile(ctx, patch, client.UpdateProfileParams{IfMatch: version})
	if _, err := as[*client.StaleHeaders]("edit of an old version", edited, err); err != nil {
		return err
	}
	var null client.OptNilString
	null.SetToNull()
	edited, err = ana.UpdateProfile(ctx, &client.UpdateProfileApplicationMergePatchJSON{GivenName: null}, client.UpdateProfileParams{})
	back, err := as[*client.ProfileHeaders]("back to the directory's name", edited, err)
	if err == nil && back.Response.GivenName != before.Response.GivenName {
		return fmt.Errorf("null = %q, want %q", back.Response.GivenName, before.Response.GivenName)
	}
	return err
}

func keys(ctx context.Context, api string, ana *client.Client) error {
	once := client.CreateApiKeyParams{IdempotencyKey: client.NewOptString("drive")}
	wanted := &client.ApiKeyCreate{Name: "laptop", ExpiresAt: client.NewOptDateTime(time.Now().Add(90 * 24 * time.Hour))}
	res, err := ana.CreateApiKey(ctx, wanted, once)
	made, err := as[*client.ApiKeyCreatedHeaders]("key", res, err)
	if err != nil {
		return err
	}
	res, err = ana.CreateApiKey(ctx, wanted, once)
	repeated, err := as[*client.ApiKeyCreatedHeaders]("key, asked for again", res, err)
	if err != nil {
		return err
	}
	id := made.Response.APIKey.ID
	if !made.Response.Secret.Set || repeated.Response.Secret.Set || repeated.Response.APIKey.ID != id || repeated.IdempotencyReplayed.Value != "true" {
		return errors.New("a repeated request is not the first one without its secret")
	}
	tool, err := client.NewClient(api, key(made.Response.Secret.Value), client.WithClient(&http.Client{}))
	if err != nil {
		return err
	}
	who, err := tool.WhoAmI(ctx)
	me, err := as[*client.WhoAmIHeaders]("whoami with the key", who, err)
	if err != nil {
		return err
	}
	if me.Response.Sub != "ana" || me.Response.Via != client.WhoAmIViaAPIKey || me.Response.KeyID.Value != id {
		return fmt.Errorf("whoami = %+v, want ana by %s", me.Response, id)
	}
	profile, err := tool.GetProfile(ctx, client.GetProfileParams{})
	if _, err := as[*client.ForbiddenHeaders]("profile with the key", profile, err); err != nil {
		return err
	}
	rotated, err := ana.RotateApiKey(ctx, &client.ApiKeyRotation{GraceSeconds: 60}, client.RotateApiKeyParams{ID: id, IfMatch: client.NewOptString(made.ETag)})
	next, err := as[*client.ApiKeyRotatedHeaders]("rotation", rotated, err)
	if err != nil {
		return err
	}
	listed, err := ana.ListApiKeys(ctx)
	if all, err := as[*client.ApiKeyListHeaders]("keys", listed, err); err != nil || len(all.Response.Items) != 2 {
		return errors.Join(err, errors.New("there are not two keys"))
	}
	for _, id := range []string{id, next.Response.APIKey.ID} {
		gone, err := ana.DeleteApiKey(ctx, client.DeleteApiKeyParams{ID: id})
		if _, err := as[*client.Deleted]("key, deleted", gone, err); err != nil {
			return err
		}
	}
	who, err = tool.WhoAmI(ctx)
	_, err = as[*client.UnauthenticatedHeaders]("whoami with the deleted key", who, err)
	return err
}

func connections(ctx context.Context, ana *client.Client) error {
	offered, err := ana.ListProviders(ctx)
	providers, err := as[*client.ProviderListHeaders]("platforms", offered, err)
	if err != nil {
		return err
	}
	jira := ""
	for _, p := range providers.Response.Items {
		if p.ID == "jira-demo" {
			jira = p.ID
		}
	}
	connect := func(token string) (client.CreateProviderTokenRes, error) {
		return ana.CreateProviderToken(ctx, &client.ProviderTokenCreate{
			ProviderID: jira, Label: client.NewOptString("work"),
			Secrets: client.NewOptProviderTokenCreateSecrets(client.ProviderTokenCreateSecrets{"token": token}),
		})
	}
	res, err := connect("wrong")
	if _, err := as[*client.InvalidInputHeaders]("connection that the platform rejects", res, err); err != nil {
		return err
	}
	res, err = connect("demo-ana")
	made, err := as[*client.ProviderTokenCreatedHeaders]("connection", res, err)
	if err != nil {
		return err
	}
	if made.Response.Account.Value.ID != "ana" || made.Response.Status != client.ProviderTokenStatusConnected {
		return fmt.Errorf("connection = %+v, want one as ana", made.Response)
	}
	id := made.Response.ID
	tested, err := ana.VerifyProviderToken(ctx, nil, client.VerifyProviderTokenParams{ID: id})
	verdict, err := as[*client.VerificationHeaders]("test", tested, err)
	if err != nil {
		return err
	}
	if verdict.Response.Verdict != client.VerificationVerdictOk {
		return fmt.Errorf("verdict = %s, want ok", verdict.Response.Verdict)
	}
	gone, err := ana.DeleteProviderToken(ctx, client.DeleteProviderTokenParams{ID: id})
	if _, err := as[*client.Deleted]("connection, removed", gone, err); err != nil {
		return err
	}
	shown, err := ana.GetProviderToken(ctx, client.GetProviderTokenParams{ID: id})
	_, err = as[*client.NotFoundHeaders]("connection that is gone", shown, err)
	return err
}

func history(ctx context.Context, ana *client.Client) error {
	res, err := ana.ListActivity(ctx, client.ListActivityParams{})
	page, err := as[*client.ActivityPageHeaders]("history", res, err)
	if err == nil && len(page.Response.Items) == 0 {
		err = errors.New("no history")
	}
	return err
}
