// Package providertoken keeps the accounts a user has on other platforms so
// that agents may use them: it proves a credential before it stores it, seals
// it for its place, and lends an [*http.Client] that speaks for the user and
// can take the credential nowhere else.
//
//	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{Providers: catalog.All()})
//	token, err := tokens.Create(ctx, owner, providertoken.CreateRequest{
//		ProviderID: "jira-cloud",
//		Fields:     map[string]string{"site": "acme", "email": "ana@acme.example"},
//		Secrets:    map[string]lanyard.Secret{"api_token": secret},
//	})
//	client, err := tokens.Client(ctx, owner, providertoken.Ref{Provider: "jira-cloud"}, nil)
//	resp, err := client.Get(token.Base + "/rest/api/3/search")
//
// Platforms are data: a [Definition] says where one may talk, which
// credentials it takes and which answers prove an account. Package catalog
// has some; a host adds its own as YAML or as Go values.
//
// # What is promised
//
// A 200 is no proof: a connection is "connected" only after the platform named
// the account. A secret never comes back: no type, error, event, span or log
// line of this package holds one. A client sends the credential to the
// connection's own origins only, whatever it is asked for and wherever a
// redirect leads, and dials no private address that the operator did not
// allow. What was sealed for one owner, field and destination opens nowhere
// else. Another platform's token, pasted into the wrong form, is sent nowhere.
// Where a platform's answer repeats the credential, who was lent a client sees
// stars.
//
// A host that lends clients to code it does not trust still has to confine
// that code: who shares the process can read its memory.
//
// # Errors
//
// Those of package lanyard, [*VerificationError], [*OtherPlatformError],
// [ErrAmbiguous], [ErrNotOffered], [ErrNeedsAttention], [ErrForeignOrigin],
// [ErrReadOnly], [ErrMethod], [ErrRateLimited], [ErrAgentNotAllowed],
// [ErrUnreadable], [ErrAnswerTooLarge] and [ErrUnreachable].
//
// # Concurrency
//
// A [Service] is safe for concurrent use. Nothing it starts outlives a call but
// what ends by itself: idle connections, and the one probe after a 401 whose
// caller does not wait for it, which ends within VerifyTimeout. Probe intervals
// hold within one process, and so do rate limits, of which each takes its share:
// see Options.Processes.
package providertoken
