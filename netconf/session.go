package netconf

import (
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"gvpn/config"
	"gvpn/internal/auth"
)

// errEnd ends a session as its client asked.
var errEnd = errors.New("netconf: session closed")

// session is one NETCONF session. All but end, killed and what server guards is its own goroutine's.
type session struct {
	server   *Server
	id       uint32
	identity auth.Identity
	framer   *framer
	end      func()      // ends the stream; may be called from any goroutine, more than once
	killed   atomic.Bool // by kill-session
}

func (x *session) isKilled() bool { return x.killed.Load() }

// hello exchanges the hellos, ours first, both framed by end-of-message (RFC 6242 section 4.1), and settles the framing.
func (x *session) hello() error {
	msg := []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<hello xmlns="` + baseNamespace + `">` + "\n<capabilities>\n")
	for _, c := range capabilities {
		msg = append(appendLeaf(msg, "capability", c), '\n')
	}
	msg = append(msg, "</capabilities>\n"...)
	msg = appendLeaf(msg, "session-id", strconv.FormatUint(uint64(x.id), 10))
	msg = append(msg, "\n</hello>\n"...)
	if err := x.framer.write(msg); err != nil {
		return err
	}
	in, err := x.framer.read(maxHello)
	if err != nil {
		return err
	}
	hello, err := parseMessage(in)
	if err != nil {
		return err
	}
	if hello.name != "hello" {
		return errors.New("netconf: the client's first message is no hello")
	}
	// RFC 6241 section 8.1: a server that receives a session-id in a hello ends the session.
	if hello.child("session-id") != nil {
		return errors.New("netconf: the client's hello holds a session-id")
	}
	var theirs []string
	if list := hello.child("capabilities"); list != nil {
		for _, c := range list.children {
			theirs = append(theirs, c.text)
		}
	}
	x.framer.chunked = slices.Contains(theirs, base11)
	if !x.framer.chunked && !slices.Contains(theirs, base10) {
		return errors.New("netconf: no base capability in common with the client")
	}
	return nil
}

// turn reads one message and answers it. Its error ends the session.
func (x *session) turn() error {
	limit := maxQuery
	if x.identity.May(auth.Configure) {
		limit = maxMessage
	}
	in, err := x.framer.read(limit)
	if errors.Is(err, errTooBig) {
		// The rest cannot be skipped safely, so this answer is the last.
		_ = x.framer.write(reply(nil, appendFaults(nil, refuse(tooBig, "message of more than "+strconv.Itoa(limit)+" octets"))))
	}
	if err != nil {
		return err
	}
	if x.isKilled() {
		return errEnd
	}
	rpc, err := parseMessage(in)
	if err != nil {
		tag := malformedMessage
		if !x.framer.chunked {
			tag = operationFailed // malformed-message must not be sent to clients of base:1.0 (RFC 6241 appendix A)
		}
		return x.framer.write(reply(nil, appendFaults(nil, faults{{Type: "rpc", Tag: tag, Message: config.Brief(err.Error(), config.BriefText)}})))
	}
	body, err := x.answer(rpc)
	if errors.Is(err, errEnd) {
		if err := x.framer.write(reply(rpc, body)); err != nil {
			return err
		}
		return errEnd
	}
	if err != nil {
		body = appendFaults(nil, faultsOf(err))
	}
	return x.framer.write(reply(rpc, body))
}

// answer carries out a message and returns the content of its rpc-reply.
func (x *session) answer(rpc *element) ([]byte, error) {
	if rpc.name != "rpc" {
		return nil, faults{{Type: "rpc", Tag: unknownElement, Message: "<" + config.Brief(rpc.name, config.BriefWord) + "> where <rpc> is due", Info: []info{{"bad-element", rpc.name}}}}
	}
	if _, ok := rpc.attr("message-id"); !ok {
		return nil, missingAttributeOf("message-id", "rpc")
	}
	if len(rpc.children) != 1 {
		return nil, faults{{Type: "rpc", Tag: operationFailed, Message: "<rpc> holds " + strconv.Itoa(len(rpc.children)) + " operations, want 1"}}
	}
	op := rpc.children[0]
	handler, ok := operations[op.name]
	if !ok {
		handler, ok = operational(op.name)
	}
	if !ok {
		return nil, unsupported(op.name, op.name)
	}
	if !x.identity.May(handler.needs) {
		return nil, refuse(accessDenied, "permission denied", info{"bad-element", op.name})
	}
	return handler.do(x, op)
}

const ok = "<ok/>\n"

// reply puts rpc-reply around body. It carries every attribute of the request (RFC 6241 section 4.1).
func reply(rpc *element, body []byte) []byte {
	out := []byte(`<rpc-reply xmlns="` + baseNamespace + `"`)
	if rpc != nil {
		for _, a := range rpc.attrs {
			if name := prefixed(a.Name); name != "xmlns" {
				out = appendAttr(out, name, a.Value)
			}
		}
	}
	out = append(out, ">\n"...)
	out = append(out, body...)
	return append(out, "</rpc-reply>\n"...)
}

func appendFaults(dst []byte, fs faults) []byte {
	for _, f := range fs {
		dst = appendFault(dst, f)
	}
	return dst
}
