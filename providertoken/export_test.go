package providertoken

import "net/http"

// SetTransport puts another way out under a provider, for tests that have no
// network.
func SetTransport(s *Service, provider string, t *http.Transport) { s.byID[provider].transport = t }
