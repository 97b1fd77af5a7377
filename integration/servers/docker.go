package servers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// image is what a container is made of.
type image struct {
	variable string // names another
	standard string // name:tag
	port     string // as "5432/tcp"
	options  func(secret string) dockertest.RunOptions
	address  func(hostPort, secret string) string
	unseal   *regexp.Regexp // finds what unseals it in its log; may be nil
}

const (
	// containerLife ends a container whose tests were killed, in seconds.
	containerLife = 30 * 60

	// startTime is how long a server may take to answer.
	startTime = time.Minute
)

// contained starts the server as a container of the Docker engine.
func (k kind) contained() (*server, error) {
	pool, err := dockertest.NewPool("")
	if err != nil || pool.Client.Ping() != nil {
		return nil, fmt.Errorf("%w: no Docker engine answers", errNone)
	}
	name := cmp.Or(os.Getenv(k.image.variable), k.image.standard)
	repository, tag := splitImage(name)
	if _, err := pool.Client.InspectImage(name); err != nil {
		k.say("pulling %s", name)
		err := pool.Client.PullImage(docker.PullImageOptions{Repository: repository, Tag: tag}, docker.AuthConfiguration{})
		if err != nil {
			k.say("Docker cannot pull %s: %v", name, err)
			return nil, fmt.Errorf("%w: Docker has no image %s and cannot pull it", errNone, name)
		}
	}
	secret := randomText()
	options := k.image.options(secret)
	options.Repository, options.Tag = repository, tag
	options.ExposedPorts = []string{k.image.port}
	container, err := pool.RunWithOptions(&options, func(host *docker.HostConfig) { host.AutoRemove = true })
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	_ = container.Expire(containerLife)
	s := &server{
		address: k.image.address(container.GetHostPort(k.image.port), secret),
		token:   secret,
		what:    fmt.Sprintf("%s in Docker container %.12s", name, container.Container.ID),
		stop:    container.Close,
	}
	err = await(func() error { return k.ready(s) })
	if err == nil && k.image.unseal != nil {
		// It says so some time after it answers.
		err = await(func() (err error) {
			s.unseal, err = logged(pool, container, k.image.unseal)
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.what, err), s.stop())
	}
	return s, nil
}

// logged looks for something in what a container has said so far.
func logged(pool *dockertest.Pool, container *dockertest.Resource, pattern *regexp.Regexp) (string, error) {
	var log bytes.Buffer
	err := pool.Client.Logs(docker.LogsOptions{
		Container: container.Container.ID, OutputStream: &log, ErrorStream: &log, Stdout: true, Stderr: true,
	})
	if err != nil {
		return "", err
	}
	found := pattern.FindSubmatch(log.Bytes())
	if found == nil {
		return "", fmt.Errorf("its log has nothing like %q", pattern)
	}
	return string(found[1]), nil
}

// await asks until there is no error.
func await(ask func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("did not answer for %v: %w", startTime, err)
		}
	}
}

// splitImage splits "registry:5000/name:tag". A name without a tag means the
// latest.
func splitImage(name string) (repository, tag string) {
	i := strings.LastIndex(name, ":")
	if i < 0 || strings.Contains(name[i:], "/") {
		return name, "latest"
	}
	return name[:i], name[i+1:]
}
