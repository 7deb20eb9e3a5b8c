package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"gvpn/internal/auth"
)

// defaultSocket is where a daemon that is installed as a service listens.
const defaultSocket = "/var/run/gvpn/gvpnd.sock"

// The exit statuses that are not a command's own.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	flags := flag.NewFlagSet("gvpn", flag.ContinueOnError)
	socket := flags.String("s", defaultSocketPath(), "control `socket` of the daemon; $GVPN_SOCKET is the default")
	commands := flags.String("c", "", "run `commands`, separated by semicolons, and exit")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: gvpn [-s SOCKET] [-c \"COMMAND; COMMAND\"]\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "error: unexpected argument %q; commands are given with -c \"COMMAND; COMMAND\"\n", flags.Arg(0))
		return exitUsage
	}
	exec := false
	flags.Visit(func(f *flag.Flag) { exec = exec || f.Name == "c" })

	client, err := auth.Dial(context.Background(), *socket, lentFiles{commands: *commands, own: uint32(os.Geteuid())})
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return exitFailed
	}
	defer client.Close()
	status, err := converse(client.Client, exec, *commands)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
	}
	return status
}

func defaultSocketPath() string {
	if s := os.Getenv("GVPN_SOCKET"); s != "" {
		return s
	}
	return defaultSocket
}

// lentFiles are the files that the daemon may have. A daemon that runs as root or as this user has them anyway; any other, which
// somebody may have put at the other end of the socket, gets only files that the commands name.
type lentFiles struct {
	commands string
	own      uint32
}

func (l lentFiles) may(daemon uint32, name string) error {
	words := strings.FieldsFunc(l.commands, func(c rune) bool { return strings.ContainsRune(" \t\r\n;|\"", c) })
	if daemon != 0 && daemon != l.own && !slices.Contains(words, name) {
		return errors.New("refused: the daemon runs as another user and asks for a file that -c does not name")
	}
	return nil
}

// Open implements auth.Files.
func (l lentFiles) Open(daemon uint32, name string) (io.ReadCloser, error) {
	if err := l.may(daemon, name); err != nil {
		return nil, err
	}
	return os.Open(name)
}

// Create implements auth.Files. A configuration holds secrets, so the file is for its owner alone.
func (l lentFiles) Create(daemon uint32, name string) (io.WriteCloser, error) {
	if err := l.may(daemon, name); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// converse runs one session and returns its exit status.
func converse(client *ssh.Client, exec bool, commands string) (int, error) {
	session, err := client.NewSession()
	if err != nil {
		return exitFailed, err
	}
	defer session.Close()
	session.Stdout, session.Stderr = os.Stdout, os.Stderr
	// Not session.Stdin: Wait would wait for its end too, and nobody may ever type it.
	in, err := session.StdinPipe()
	if err != nil {
		return exitFailed, err
	}
	start := session.Shell
	if exec {
		start = func() error { return session.Start(commands) }
	} else if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		restore, err := lend(session, fd)
		if err != nil {
			return exitFailed, err
		}
		defer restore()
	}
	if err := start(); err != nil {
		return exitFailed, err
	}
	go func() { // ends with the input, or with the process
		_, _ = io.Copy(in, os.Stdin)
		_ = in.Close()
	}()
	err = session.Wait()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	}
	return exitFailed, errors.New("the daemon has closed the connection")
}

// lend puts the terminal into raw mode and gives the session its size, now and when it changes. restore undoes it.
func lend(session *ssh.Session, fd int) (restore func(), err error) {
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	w, h, err := term.GetSize(fd)
	if err != nil {
		w, h = 80, 24
	}
	if err := session.RequestPty(os.Getenv("TERM"), h, w, ssh.TerminalModes{}); err != nil {
		_ = term.Restore(fd, old)
		return nil, fmt.Errorf("terminal: %w", err)
	}
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, unix.SIGWINCH)
	go func() { // ends when restore closes the channel
		for range changes {
			if w, h, err := term.GetSize(fd); err == nil {
				_ = session.WindowChange(h, w)
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		close(changes)
		_ = term.Restore(fd, old)
	}, nil
}
