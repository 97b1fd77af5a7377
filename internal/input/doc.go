// Package input checks what people type: names of persons, keys and
// connections, which are shown on pages, in histories and to agents.
package input
