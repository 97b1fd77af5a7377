package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// scripted has the kind's script start a server for as long as this process
// lives: the command it runs for us reads from a pipe, which ends with us.
func (k kind) scripted() (*server, error) {
	script, err := scriptNamed(k.name)
	if err != nil {
		return nil, err
	}
	ctx := context.Background() // the server outlives the test that needs it first
	if exec.CommandContext(ctx, script, "found").Run() != nil {
		return nil, fmt.Errorf("%w: no binaries", errNone)
	}
	cmd := exec.CommandContext(ctx, script, "run", "sh", "-c",
		fmt.Sprintf(`printf '%%s\n%%s\n' "$%s" "${%s:-}"; exec cat`, k.address, k.tokenOrAddress()))
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); name != k.address && name != k.token {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	said, err := os.CreateTemp("", "lanyard-"+k.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = errors.Join(said.Close(), os.Remove(said.Name())) }()
	cmd.Stderr = said // a file, which holds its last line before we hear of the server
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		_ = leash.Close()
		return cmd.Wait()
	}
	s, err := readServer(out)
	if err != nil {
		err = errors.Join(err, stop())
	}
	text, _ := os.ReadFile(said.Name())
	if err != nil {
		return nil, fmt.Errorf("scripts/%s: %w: %s", k.name, err, text)
	}
	s.stop = stop
	_, s.what, _ = strings.Cut(strings.TrimSpace(string(text)), ": using ")
	return s, nil
}

// tokenOrAddress is a variable that exists.
func (k kind) tokenOrAddress() string {
	if k.token == "" {
		return k.address
	}
	return k.token
}

// readServer reads an address and a token.
func readServer(r io.Reader) (*server, error) {
	lines := bufio.NewReader(r)
	address, err := lines.ReadString('\n')
	if err != nil {
		return nil, err
	}
	token, err := lines.ReadString('\n')
	if err != nil {
		return nil, err
	}
	return &server{address: strings.TrimSpace(address), token: strings.TrimSpace(token)}, nil
}

// scriptNamed looks for scripts/name from here upwards. Tests run in the folder
// of their package.
func scriptNamed(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		script := filepath.Join(dir, "scripts", name)
		if info, err := os.Stat(script); err == nil && info.Mode().IsRegular() {
			return script, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w: scripts/%s is not above the tests", errNone, name)
		}
		dir = filepath.Dir(dir)
	}
}
