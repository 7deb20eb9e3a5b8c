package netconf

import (
	"strconv"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/internal/auth"
)

// operation is one operation that the server carries out: what the caller must be allowed, and how. do returns the
// content of the reply; faults and configuration errors are worded as rpc-errors.
type operation struct {
	needs auth.Permission
	do    func(x *session, op *element) ([]byte, error)
}

// operations are what the server carries out beside what operational knows. What is in neither is answered operation-not-supported by
// name.
var operations = map[string]operation{
	"get":             {auth.View, (*session).get},
	"get-config":      {auth.View, (*session).getConfig},
	"edit-config":     {auth.Configure, (*session).editConfig},
	"commit":          {auth.Configure, (*session).commit},
	"cancel-commit":   {auth.Configure, (*session).cancelCommit},
	"discard-changes": {auth.Configure, (*session).discardChanges},
	"validate":        {auth.Configure, (*session).validate},
	"lock":            {auth.Configure, (*session).lock},
	"unlock":          {auth.Configure, (*session).unlock},
	"close-session":   {auth.View, (*session).closeSession},
	"kill-session":    {auth.Configure, (*session).killSession},
}

// clientName is how commits are made, in the log of commits.
const clientName = "netconf"

// The datastores.
const (
	running   = "running"
	candidate = "candidate"
)

// datastore reads the datastore that <parameter> of op names, one of those allowed.
func datastore(op *element, parameter string, allowed ...string) (string, error) {
	p := op.child(parameter)
	if p == nil {
		return "", missing(parameter)
	}
	if len(p.children) != 1 {
		return "", refuse(badElement, "<"+parameter+"> names no datastore", info{"bad-element", parameter})
	}
	name := p.children[0].name
	for _, a := range allowed {
		if name == a {
			return name, nil
		}
	}
	return "", unsupported(name, op.name+" with "+parameter+" "+name)
}

// read returns the tree of a datastore.
func read(db *commit.DB, name string) config.Tree {
	if name == candidate {
		return db.Candidate().Tree()
	}
	return db.Running()
}

// get returns the running configuration: there is no state data in the models yet.
func (x *session) get(op *element) ([]byte, error) { return x.data(op, running) }

func (x *session) getConfig(op *element) ([]byte, error) {
	name, err := datastore(op, "source", running, candidate)
	if err != nil {
		return nil, err
	}
	return x.data(op, name)
}

func (x *session) data(op *element, name string) ([]byte, error) {
	for _, c := range op.children {
		switch c.name {
		case "source", "filter":
		default:
			return nil, unsupported(c.name, op.name+" with "+c.name)
		}
	}
	filter := op.child("filter")
	if filter != nil {
		if kind, ok := filter.attr("type"); ok && kind != "subtree" {
			return nil, unsupported("filter", "filter of type "+kind)
		}
		if filter.text != "" {
			return nil, refuse(badElement, "text in <filter>", info{"bad-element", "filter"})
		}
	}
	var tree config.Tree
	if err := x.server.backend.Manage(func(db *commit.DB) error {
		tree = read(db, name)
		return nil
	}); err != nil {
		return nil, err
	}
	// A Tree is immutable: it is written without holding up anybody.
	out := []byte("<data>\n")
	p := printer{config.Omitted} // who may not configure does not see secrets either
	if x.identity.May(auth.Configure) {
		p.secrets = config.Obfuscated
	}
	if filter == nil {
		out = p.appendWhole(out, tree.Root(), 1, "")
	} else {
		out = p.appendFiltered(out, tree.Root(), filter)
	}
	return append(out, "</data>\n"...), nil
}

func (x *session) editConfig(op *element) ([]byte, error) {
	if _, err := datastore(op, "target", candidate); err != nil {
		return nil, err
	}
	def, test := config.OpMerge, ""
	var src []byte
	for _, c := range op.children {
		switch c.name {
		case "target":
		case "default-operation":
			var err error
			if def, err = defaultOperation(c.text); err != nil {
				return nil, err
			}
		case "test-option":
			switch c.text {
			case "test-then-set", "set", "test-only":
				test = c.text
			default:
				return nil, refuse(invalidValue, "test-option "+strconv.Quote(c.text), info{"bad-element", c.name})
			}
		case "error-option":
			// Every edit is all or nothing, which is rollback-on-error, and what stop-on-error allows.
			if c.text != "stop-on-error" && c.text != "rollback-on-error" {
				return nil, unsupported(c.name, "error-option "+c.text)
			}
		case "config":
			src = c.config
		default:
			return nil, unsupported(c.name, op.name+" with "+c.name)
		}
	}
	if src == nil {
		return nil, missing("config")
	}
	var warnings config.Errors
	err := x.server.backend.Manage(func(db *commit.DB) error {
		if err := x.mayEdit(db); err != nil {
			return err
		}
		tree, errs := db.Candidate().Tree().LoadXML(nil, def, "", src)
		if err := errs.Err(); err != nil {
			return err
		}
		warnings = errs
		if test == "test-then-set" || test == "test-only" {
			result, err := db.Check(tree)
			if err != nil {
				return err
			}
			warnings = append(warnings, result.Warnings...)
		}
		if test == "test-only" {
			return nil
		}
		db.Candidate().Update(tree)
		return nil
	})
	return done(warnings), err
}

// done is the reply of what succeeded: warnings, then ok, as Junos has it.
func done(warnings config.Errors) []byte {
	var out []byte
	for _, w := range warnings {
		out = appendFault(out, faultOf(w))
	}
	return append(out, ok...)
}

func defaultOperation(name string) (config.Operation, error) {
	switch name {
	case "merge":
		return config.OpMerge, nil
	case "replace":
		return config.OpReplace, nil
	case "none":
		return config.OpNone, nil
	}
	return 0, refuse(invalidValue, "default-operation "+strconv.Quote(name), info{"bad-element", "default-operation"})
}

func (x *session) discardChanges(*element) ([]byte, error) {
	return []byte(ok), x.server.backend.Manage(func(db *commit.DB) error {
		if err := x.mayEdit(db); err != nil {
			return err
		}
		db.Candidate().Discard()
		return nil
	})
}

// validate checks a datastore, or the configuration in the request, as a commit would.
func (x *session) validate(op *element) ([]byte, error) {
	var inline []byte
	name := ""
	if c := op.child("source").child("config"); c != nil {
		inline = c.config
	} else {
		var err error
		if name, err = datastore(op, "source", running, candidate); err != nil {
			return nil, err
		}
	}
	var result commit.Result
	err := x.server.backend.Manage(func(db *commit.DB) error {
		tree := read(db, name)
		if inline != nil {
			var errs config.Errors
			if tree, errs = (config.Tree{}).LoadXML(nil, config.OpMerge, "", inline); errs.Err() != nil {
				return errs
			}
		}
		var err error
		result, err = db.Check(tree)
		return err
	})
	return done(result.Warnings), err
}

func (x *session) closeSession(*element) ([]byte, error) { return []byte(ok), errEnd }

// killSession ends another session: what it held is free when the answer is out.
func (x *session) killSession(op *element) ([]byte, error) {
	target := op.child("session-id")
	if target == nil {
		return nil, missing("session-id")
	}
	id, err := strconv.ParseUint(target.text, 10, 32)
	if err != nil || uint32(id) == x.id {
		return nil, refuse(invalidValue, "session-id "+strconv.Quote(target.text), info{"bad-element", "session-id"})
	}
	x.server.mu.Lock()
	other := x.server.sessions[uint32(id)]
	x.server.mu.Unlock()
	if other == nil {
		return nil, refuse(invalidValue, "there is no session "+target.text, info{"bad-element", "session-id"})
	}
	other.killed.Store(true)
	other.end()
	other.giveUp()
	return []byte(ok), nil
}
