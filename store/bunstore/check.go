package bunstore

import (
	"strings"
	"unicode/utf8"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// check validates the records of a change and its event; the first fault
// counts.
func check(e lanyard.Event, records ...interface{ Validate() error }) error {
	for _, r := range records {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	return store.ValidateEvent(e)
}

// checkOwned validates what names one record of an owner. An id that no record
// can have is an unknown one.
func checkOwned(owner lanyard.Owner, id string) error {
	if err := owner.Validate(); err != nil {
		return err
	}
	return checkID(id)
}

func checkID(id string) error {
	if !clean(id) {
		return lanyard.ErrNotFound
	}
	return nil
}

// checkText refuses text that one database would keep and another would not.
func checkText(field, text string) error {
	if !clean(text) {
		return &lanyard.InputError{Field: field, Code: lanyard.CodeInvalid, Message: "text is UTF-8 without NUL"}
	}
	return nil
}

// clean reports whether s is text that both databases keep.
func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}
