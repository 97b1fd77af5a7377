package apikey

// Checksum lets tests complete a token that the store has to refuse.
var Checksum = checksum
