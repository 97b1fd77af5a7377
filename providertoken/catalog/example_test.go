package catalog_test

import (
	"fmt"
	"testing/fstest"

	"github.com/aichub/lanyard/providertoken/catalog"
)

func ExampleAll() {
	for _, d := range catalog.All() {
		fmt.Println(d.ID, "-", d.Name)
	}
	// Output:
	// azure-devops - Azure DevOps
	// bitbucket-cloud - Bitbucket Cloud
	// businessmap - Businessmap
	// confluence-cloud - Confluence Cloud
	// figma - Figma
	// github - GitHub
	// github-enterprise - GitHub Enterprise Server
	// gitlab - GitLab
	// jira-cloud - Jira Cloud
	// jira-data-center - Jira Data Center
	// notion - Notion
	// servicenow - ServiceNow
	// slack - Slack
}

// An organisation's own platform, as a file of one definition.
func ExampleLoad() {
	files := fstest.MapFS{"acme.yaml": {Data: []byte(`
id: acme
name: Acme
instance: {mode: template, base: "https://{team}.acme.example", accept: [acme.example]}
methods:
  - id: key
    label: API key
    fields:
      - {name: team, label: Team, type: dns_label, origin: true}
      - {name: key, label: API key}
    headers: {X-Acme-Key: "{key}"}
verify:
  - path: /api/me
    rules:
      - when: {status: [401]}
        verdict: invalid
    accept: {status: [200], content_type: application/json}
    identity: {id: user.id, name: user.name}
`)}}
	definitions, err := catalog.Load(files) // os.DirFS("providers") for a directory
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(definitions[0].Name, "at", definitions[0].Instance.Base)

	files["acme.yaml"].Data = []byte("id: acme\nname: Acme\nlifetime: 90\n")
	_, err = catalog.Load(files)
	fmt.Println(err)
	// Output:
	// Acme at https://{team}.acme.example
	// acme.yaml:3:1: unknown field "lifetime"
}
