// Package providertest holds fakes that answer as the real platforms do, and
// lie as they do: sign-in pages with status 203, expired tokens served as
// anonymous with 200, rate limits told in the body. They are for tests, ours
// and a host's, and for demonstrations.
//
//	fake := providertest.JiraDataCenter(providertest.Tokens{"secret": {ID: "ana", Name: "Ana"}}.Account)
//	server, err := providertest.NewServer(fake)
//	defer server.Close(ctx)
//	instance := providertoken.Instance{
//		ID: "jira", Provider: "jira-data-center", Base: server.URL(),
//		RootCAs: server.RootCAs(), Networks: server.Networks(),
//	}
//	fake.Tell(providertest.SignInPage)
//
// Each serves one account's part of a platform: who am I, and as much data as
// a demonstration needs. A [Fake] is safe for concurrent use.
//
// # How platforms lie
//
// Every fake can tell every [Lie]. Where a platform has a way of its own it is
// told in that way:
//
//   - Jira, both: [Captcha], [LoginFailed] and [Anonymous] are 200 with a body
//     that names nobody real; only X-Seraph-LoginReason or X-AUSERNAME gives
//     them away. [Down] carries the same headers with 503, where they say
//     nothing about the token.
//   - Both clouds of Atlassian: a token of an Account with Scoped is answered 401
//     at the site and works below [JiraGateway] or [ConfluenceGateway], whose
//     place /_edge/tenant_info tells anybody. Confluence's [Anonymous] is a user
//     of type anonymous.
//   - Azure DevOps: [SignInPage] is 203 with HTML, [Redirect] leads to
//     _signin, [NoRight] (403) and [Unseen] (404) carry X-VSS-UserData because
//     the token was recognised, [Anonymous] is 200 with the id that public
//     organizations give to strangers.
//   - Businessmap: [Busy] says RL02 and its wait in the body, and what remains in
//     headers.
//   - ServiceNow: [SignInPage] is the page of a hibernating instance,
//     [Anonymous] is 200 as "guest"; [OldRelease] does not know who one is but by
//     its table of users, and [DroppedFilter] answers that with whoever is there.
//   - GitHub: [Busy] is 403 with X-RateLimit-Remaining: 0.
//   - GitLab: [Expired] and [Revoked] are 401 and say so.
//   - Slack: every no is 200 with ok: false.
//   - Figma: [Revoked] and [NoRight] are both 403; the body tells them apart.
//   - Any: [Nobody] is what Zendesk answers to strangers, in the platform's words.
//
// The package imports the standard library only, and not net/http/httptest,
// which registers a flag in every program that links it.
package providertest
