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
// a demonstration needs. A Fake is safe for concurrent use.
//
// The package imports the standard library only, and not net/http/httptest,
// which registers a flag in every program that links it.
package providertest
