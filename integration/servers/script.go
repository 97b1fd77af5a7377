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
		fmt.Sprintf(`env | grep '^%s'; echo; exec cat`, k.address))
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, k.address) {
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
	variables, err := readVariables(out)
	if err != nil {
		err = errors.Join(err, stop())
	}
	text, _ := os.ReadFile(said.Name())
	if err != nil {
		return nil, fmt.Errorf("scripts/%s: %w: %s", k.name, err, text)
	}
	_, what, _ := strings.Cut(strings.TrimSpace(string(text)), ": using ")
	return &server{
		address: variables[k.address],
		token:   variables[k.address+tokenSuffix],
		unseal:  variables[k.address+unsealSuffix],
		what:    what, stop: stop,
	}, nil
}

// readVariables reads an environment, up to an empty line.
func readVariables(r io.Reader) (map[string]string, error) {
	variables := make(map[string]string)
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			return variables, nil
		}
		variables[name] = value
	}
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
