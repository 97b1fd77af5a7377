package providertest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net/http"

	"github.com/aichub/lanyard/providertoken/providertest"
)

// A Jira in the test's own process: it tells the truth until it is told not
// to.
func Example() {
	ctx := context.Background()
	fake := providertest.JiraDataCenter(providertest.Tokens{"anas-token": {ID: "ana", Name: "Ana Lima"}}.Account)
	server, err := providertest.NewServer(fake)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Close(ctx) }()

	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: server.RootCAs(), MinVersion: tls.VersionTLS12},
	}}
	defer client.CloseIdleConnections()
	ask := func(token string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL()+"/rest/api/2/myself", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		fmt.Printf("%d as %q, login reason %q\n", res.StatusCode, res.Header.Get("X-AUSERNAME"), res.Header.Get("X-Seraph-LoginReason"))
	}
	ask("anas-token")
	ask("another")
	fake.Tell(providertest.LoginFailed)
	ask("anas-token")
	fake.Tell(providertest.Anonymous)
	ask("anas-token")
	fmt.Println(len(fake.Requests()), "requests")
	// Output:
	// 200 as "ana", login reason ""
	// 401 as "", login reason ""
	// 200 as "anonymous", login reason "AUTHENTICATED_FAILED"
	// 200 as "anonymous", login reason ""
	// 4 requests
}
