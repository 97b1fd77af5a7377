package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// job is one call of the command.
type job struct {
	stdout, stderr io.Writer
	json           bool
	now            func() time.Time
}

// action does a command, given what stands behind its flags.
type action func(ctx context.Context, args []string) error

// command is one of the things that can be done.
type command struct {
	name    string // with its group, as "keys show"
	args    string // what stands behind the flags, in capitals
	about   string
	prepare func(j *job, flags *flag.FlagSet) action
}

func (c *command) arity() int { return len(strings.Fields(c.args)) }

func commands() []command {
	return []command{
		{"migrate", "", "Bring the tables to what this version knows", prepareMigrate},
		{"keyring create", "", "Make a keyring file with one fresh key", prepareKeyringCreate},
		{"keyring list", "", "Say which keys a keyring has, and with -database what they wrapped", prepareKeyringList},
		{"keyring rotate", "", "Add a fresh primary key; rewrap comes next", prepareKeyringRotate},
		{"keyring disable", "KEY", "Take a key out of use, if nothing needs it", prepareKeyringDisable},
		{"keyring enable", "KEY", "Let a disabled key unwrap again", prepareKeyringEnable},
		{"keyring remove", "KEY", "Destroy a disabled key that nothing needs, for good", prepareKeyringRemove},
		{"rewrap", "", "Bring all owner keys under the newest key; it can be stopped and goes on where it was", prepareRewrap},
		{"keys show", "ID", "Say whose API key that is, by its public id", prepareKeysShow},
		{"keys delete", "ID", "Delete an API key by its public id, for good", prepareKeysDelete},
		{"keys delete-before", "TIME", "Delete all API keys made before a time, as after a restore", prepareKeysDeleteBefore},
		{"keys sign", "TIME", "Sign the rows of API keys made before a time, at which the host had no key service; -dry-run first", prepareKeysSign},
		{"purge", "", "Remove history, tombstones and usage that are older than they have to be", preparePurge},
		{"catalog lint", "DIR", "Say what is wrong in provider definitions of your own, by file and line", prepareCatalogLint},
		{"doctor", "", "Look for what is wrong", prepareDoctor},
	}
}

// find returns the command that args begin with, and the rest of args.
func find(args []string) (*command, []string) {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == c.name {
			return &c, args[len(words):]
		}
	}
	return nil, nil
}

func help(w io.Writer) {
	fmt.Fprint(w, "usage: lanyard COMMAND [flags] [arguments]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-26s %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	}
	fmt.Fprint(w, "\nlanyard COMMAND -h lists its flags. Exit status: 0 ok, 1 failed or problem found, 2 called the wrong way, 3 doctor could not look.\n")
}

// tell prints v with -json, and otherwise what text writes.
func (j *job) tell(v any, text func(w io.Writer)) error {
	if !j.json {
		text(j.stdout)
		return nil
	}
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = j.stdout.Write(append(raw, '\n'))
	return err
}

// stamp is a time as it is printed; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
