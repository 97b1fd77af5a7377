package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// errNoBinaries says that this machine has no PostgreSQL to start.
var errNoBinaries = errors.New("no initdb on the PATH or in /usr/lib/postgresql; see scripts/postgres")

// ownPostgres is a server that may be restarted. It keeps what it promises: it
// flushes as PostgreSQL does by default.
type ownPostgres struct {
	bin string // the directory of its programs
	dir string
	as  *syscall.SysProcAttr // who it runs as; nil = this user
}

// startPostgres starts one that listens on a Unix socket.
func startPostgres(ctx context.Context) (s *ownPostgres, err error) {
	s = &ownPostgres{}
	if s.bin, err = postgresPrograms(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("/tmp", "lanyard-measure-pg"); err != nil { // a socket's path is short
		return nil, err
	}
	if err = s.giveUpRoot(); err == nil {
		err = s.program(ctx, "initdb", "-U", "lanyard", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
	}
	if err == nil {
		err = s.program(ctx, "pg_ctl", "-l", filepath.Join(s.dir, "log"), "-w", "-o",
			"-c listen_addresses='' -c max_connections=200 -c unix_socket_directories='"+s.dir+"'", "start")
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// restart ends the server as "fast" or "immediate" says, and starts it again.
func (s *ownPostgres) restart(ctx context.Context, mode string) error {
	return s.program(ctx, "pg_ctl", "-w", "-m", mode, "restart")
}

func (s *ownPostgres) stop(ctx context.Context) error {
	return errors.Join(s.program(context.WithoutCancel(ctx), "pg_ctl", "-w", "-m", "immediate", "stop"), os.RemoveAll(s.dir))
}

func (s *ownPostgres) url() string {
	u := url.URL{Scheme: "postgres", User: url.User("lanyard"), Path: "/postgres", RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return u.String()
}

// program runs one of PostgreSQL's own on the server's data.
func (s *ownPostgres) program(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), append([]string{"-D", filepath.Join(s.dir, "data")}, args...)...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.as
	// The server would keep a pipe open, so what is said goes to a file.
	said, err := os.CreateTemp(s.dir, name)
	if err != nil {
		return err
	}
	defer func() { _ = said.Close() }()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return nil
}

// giveUpRoot sees to it that the server does not run as root, which it refuses.
func (s *ownPostgres) giveUpRoot() error {
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err1 := strconv.Atoi(who.Uid)
	gid, err2 := strconv.Atoi(who.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return os.Chown(s.dir, uid, gid)
}

// postgresPrograms returns where initdb is: on the PATH, or the newest of
// Debian's.
func postgresPrograms() (string, error) {
	if found, err := exec.LookPath("initdb"); err == nil {
		if found, err = filepath.EvalSymlinks(found); err != nil {
			return "", err
		}
		return filepath.Dir(found), nil
	}
	const debian = "usr/lib/postgresql/"
	all, err := fs.Glob(os.DirFS("/"), debian+"*/bin/initdb")
	if err != nil {
		return "", err
	}
	best, dir := -1, ""
	for _, found := range all {
		version, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(found))))
		if version > best {
			best, dir = version, filepath.Dir("/"+found)
		}
	}
	if dir == "" {
		return "", errNoBinaries
	}
	return dir, nil
}
