package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// This program starts itself again as other processes of the same host. A
// child reads its order from the environment, answers with JSON values on its
// standard output, and ends when its standard input does: with its parent, at
// the latest.
const (
	roleVariable  = "LANYARD_MEASURE_ROLE"
	orderVariable = "LANYARD_MEASURE_ORDER"
)

// role is what a child does. It ends when ctx does, and then answers a last
// time.
type role func(ctx context.Context, order []byte, answer func(any)) error

func roles() map[string]role {
	return map[string]role{"load": load, "rewrap": rewrap, "write": write}
}

// beChild is the whole program where this process is a child.
func beChild(ctx context.Context) bool {
	do, ok := roles()[os.Getenv(roleVariable)]
	if !ok {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	encoder := json.NewEncoder(os.Stdout)
	err := do(ctx, []byte(os.Getenv(orderVariable)), func(v any) { _ = encoder.Encode(v) })
	if err != nil {
		say("%s: %v", os.Getenv(roleVariable), err)
		os.Exit(1)
	}
	return true
}

// child is another process of this program.
type child struct {
	cmd   *exec.Cmd
	leash io.Closer
	heard chan struct{} // closed when it has said all
}

// spawn starts a child. hear gets all its answers, from one goroutine.
func spawn(ctx context.Context, role string, order any, hear func(json.RawMessage)) (*child, error) {
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self), heard: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role, orderVariable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.leash, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.heard)
		for d := json.NewDecoder(out); ; {
			var v json.RawMessage
			if err := d.Decode(&v); err != nil { // the end, or the middle of a word of one that was killed
				return
			}
			hear(v)
		}
	}()
	return c, nil
}

// wait waits until the child has ended by itself.
func (c *child) wait() error {
	<-c.heard
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("another process: %w", err)
	}
	return nil
}

// stop ends the child and waits for its last answer.
func (c *child) stop() error {
	_ = c.leash.Close()
	return c.wait()
}

// kill ends the child as a crash does (SIGKILL).
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := c.wait(); !errors.As(err, &exit) {
		return fmt.Errorf("the process that was killed ended by itself: %w", errPromise)
	}
	return nil
}
