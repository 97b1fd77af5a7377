package apikey

// Checksum lets tests complete a token that the store has to refuse.
var Checksum = checksum

// NewTokenText draws a token that no store knows.
func NewTokenText(prefix string) string { return newToken(prefix).text }
