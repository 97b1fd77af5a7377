package httpadapter

import (
	_ "embed"
	"fmt"
	"net/http"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/aichub/lanyard"
)

//go:embed openapi.yaml
var openAPISource []byte

// openAPI returns the API's description as JSON.
func openAPI() ([]byte, error) {
	spec, err := yaml.YAMLToJSON(openAPISource)
	if err != nil {
		return nil, fmt.Errorf("convert openapi.yaml: %w", err)
	}
	return spec, nil
}

func (h *Handler) showSpec(*call) (answer, error) {
	return answer{status: http.StatusOK, body: h.spec}, nil
}

// whoAmI answers "does my key work?".
func (h *Handler) whoAmI(c *call) (answer, error) {
	type response struct {
		Sub    string      `json:"sub"`
		Tenant string      `json:"tenant,omitzero"`
		Via    lanyard.Via `json:"via"`
		KeyID  string      `json:"key_id,omitzero"`
		Scopes []string    `json:"scopes,omitempty"`
	}
	who := c.caller
	return answer{status: http.StatusOK, body: response{
		Sub: who.Owner.Subject, Tenant: who.Owner.Tenant, Via: who.Via, KeyID: who.KeyID, Scopes: who.Scopes,
	}}, nil
}

// showMeta says what this installation offers.
func (h *Handler) showMeta(*call) (answer, error) {
	type link struct {
		Title string `json:"title"`
		URL   string `json:"url"`
	}
	type limits struct {
		BodyBytes      int   `json:"body_bytes"`
		APIKeys        int   `json:"api_keys,omitzero"`
		MaxLife        int64 `json:"api_key_max_life_seconds,omitzero"`
		DefaultLife    int64 `json:"api_key_default_life_seconds,omitzero"`
		ProviderTokens int   `json:"provider_tokens,omitzero"`
	}
	type features struct {
		APIKeys        bool `json:"api_keys"`
		ProviderTokens bool `json:"provider_tokens"`
	}
	type response struct {
		Languages []string `json:"languages"`
		Limits    limits   `json:"limits"`
		Features  features `json:"features"`
		Scopes    []string `json:"scopes"`
		Docs      []link   `json:"docs"`
	}
	m := response{Languages: h.languages.names(), Limits: limits{BodyBytes: maxBody}, Scopes: []string{}, Docs: []link{}}
	if keys := h.config.APIKeys; keys != nil {
		m.Features.APIKeys = true
		m.Limits.APIKeys = max(0, keys.Limit())
		m.Limits.MaxLife = int64(keys.MaxLife() / time.Second)
		m.Limits.DefaultLife = int64(keys.DefaultLife() / time.Second)
		m.Scopes = append(m.Scopes, keys.Scopes()...)
	}
	if tokens := h.config.ProviderTokens; tokens != nil {
		m.Features.ProviderTokens = true
		m.Limits.ProviderTokens = max(0, tokens.Limit())
	}
	for _, d := range h.config.Docs {
		m.Docs = append(m.Docs, link(d))
	}
	return answer{status: http.StatusOK, body: m}, nil
}
