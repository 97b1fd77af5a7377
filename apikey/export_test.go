package apikey

// Checksum lets tests complete a token that the store has to refuse.
var Checksum = checksum

// Cached is how many verdicts are kept.
func (s *Service) Cached() int {
	s.verdicts.mu.Lock()
	defer s.verdicts.mu.Unlock()
	return s.verdicts.count
}

// NewTokenText draws a token that no store knows.
func NewTokenText(prefix string) string { return newToken(prefix).text }
