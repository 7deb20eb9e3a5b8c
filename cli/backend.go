package cli

import (
	"io"
	"time"

	"gvpn/commit"
	"gvpn/internal/auth"
	"gvpn/oper"
)

// Backend is one node as a shell sees it. All methods may be called from any goroutine.
type Backend interface {
	// Manage calls f while it holds the node's management mutex: db, and what it hands out, is used only within f; a config.Tree
	// may be kept. It returns f's error, or its own if the node is closing.
	Manage(f func(db *commit.DB) error) error
	oper.Engines
	// Editors is the node's list of who is in configuration mode.
	Editors() *Editors
	// Lab is where `request lab node` looks; nil outside a lab.
	Lab() Lab
}

// Lab is the nodes of one process.
type Lab interface {
	Nodes() []string // names in the order in which they are shown
	Node(name string) (Backend, bool)
}

// Files opens and makes files of the client by the name that was typed.
type Files interface {
	Open(name string) (io.ReadCloser, error)
	// Create makes a file, or empties it; what is written to it is in it when Close returns nil.
	Create(name string) (io.WriteCloser, error)
}

// Config is what a session needs.
type Config struct {
	Backend  Backend
	Identity auth.Identity
	In       io.Reader // what is typed; the text of `load … terminal`; nil: nothing
	Out      io.Writer
	Err      io.Writer        // messages of a session without terminal; nil: Out
	Terminal *auth.Terminal   // nil: no terminal
	Files    Files            // nil: the names of files are refused
	Now      func() time.Time // nil: time.Now
}

// defaultHostName stands in the prompt of a node without `system host-name`.
const defaultHostName = "gvpn"

// client is who commits, in the log of commits.
const client = "cli"
