package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"gvpn/cluster"
	"gvpn/internal/node"
)

const usage = `usage: gvpnd -d STATE-DIR [-f FILE] [-v] [--key-log FILE]
       gvpnd lab
       gvpnd schema

gvpnd runs one node: its configuration, keys and control socket (gvpnd.sock) are in
STATE-DIR. FILE, in Junos's curly or set form, is loaded where STATE-DIR holds no
configuration yet.
gvpnd lab runs the example topology, nine nodes on loopback addresses: with a terminal
it opens the shell on the root-server, without one it plays and checks a script.
gvpnd schema prints the nodes of the configuration, a line each: path, kind, type, default.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "gvpnd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "lab" {
		if len(args) > 1 {
			return fmt.Errorf("lab takes no arguments, found %q", args[1])
		}
		return runLab(ctx, stdin, stdout)
	}
	if len(args) > 0 && args[0] == "schema" {
		if len(args) > 1 {
			return fmt.Errorf("schema takes no arguments, found %q", args[1])
		}
		return printSchema(stdout)
	}
	flags := flag.NewFlagSet("gvpnd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	file := flags.String("f", "", "configuration `FILE` to start from where the state directory holds none")
	dir := flags.String("d", "", "state `DIRECTORY`, made if absent (required)")
	verbose := flags.Bool("v", false, "log what is only of interest when looking for a fault, too")
	keys := flags.String("key-log", "", "`FILE` to which the keys of every IKE SA are appended in clear, as tshark's\nikev1_decryption_table: only to look for a fault, and never in service")
	subServers := flags.Int("max-sub-servers", cluster.MaxSubServers, "how many sub-servers a root-server may have: another `NUMBER` than Junos's is for labs only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; `gvpnd -h` shows the usage", flags.Arg(0))
	case *subServers < 1:
		return fmt.Errorf("-max-sub-servers %d: a root-server has at least one", *subServers)
	case *dir == "":
		return errors.New("no state directory: give one with -d; `gvpnd -h` shows the usage")
	}
	options := node.Options{Dir: *dir, Port: gdoiPort, MaxSubServers: *subServers}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	options.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	if *file != "" {
		text, err := os.ReadFile(*file)
		if err != nil {
			return fmt.Errorf("read the configuration: %w", err)
		}
		options.File, options.Config = *file, text
	}
	if *keys != "" {
		f, err := openKeyLog(*keys)
		if err != nil {
			return err
		}
		defer f.Close()
		options.KeyLog = f
	}
	node.CollectLess()
	n, err := node.Open(options)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-n.Failed():
	}
	return errors.Join(n.Err(), n.Close())
}

// openKeyLog opens the file for keys in clear; one that others can read is refused.
func openKeyLog(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the key log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("key log %s: mode %#o lets others read it, want 0600", name, info.Mode().Perm())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
