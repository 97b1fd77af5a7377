// Package clients shows that widely used clients of platforms work unchanged with
// the client that providertoken lends: they are given it and no token, and take
// the credential nowhere else, wherever the platform sends them.
package clients
