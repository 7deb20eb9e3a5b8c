package netconf

import (
	"errors"
	"fmt"
	"strconv"

	"gvpn/config"
)

// Tag is an error-tag of RFC 6241 appendix A.
type Tag string

// The tags that this server gives by itself; those of configuration errors come from package config.
const (
	accessDenied          Tag = "access-denied"
	inUse                 Tag = "in-use"
	invalidValue          Tag = "invalid-value"
	tooBig                Tag = "too-big"
	missingAttribute      Tag = "missing-attribute"
	missingElement        Tag = "missing-element"
	badElement            Tag = "bad-element"
	unknownElement        Tag = "unknown-element"
	lockDenied            Tag = "lock-denied"
	operationNotSupported Tag = "operation-not-supported"
	operationFailed       Tag = "operation-failed"
	malformedMessage      Tag = "malformed-message"
)

// fault is one rpc-error.
type fault struct {
	Type    string // transport, rpc, protocol or application
	Tag     Tag
	Warning bool
	Path    string // "[edit security group-vpn]", "" for none
	Message string
	Info    []info
}

// info is one child of error-info.
type info struct{ name, text string }

// faults is what a request is refused with; it is an error so that handlers can return it.
type faults []fault

func (fs faults) Error() string {
	if len(fs) == 0 {
		return "netconf: no error"
	}
	return "netconf: " + string(fs[0].Tag) + ": " + fs[0].Message
}

// refuse makes the faults of one protocol error.
func refuse(tag Tag, message string, info ...info) faults {
	return faults{{Type: "protocol", Tag: tag, Message: config.Brief(message, config.BriefText), Info: info}}
}

// unsupported names what this server does not do, and the element that asks for it.
func unsupported(element, what string) faults {
	return refuse(operationNotSupported, config.Brief(what, config.BriefWord)+" is not supported", info{"bad-element", element})
}

// missing names the element that a request lacks.
func missing(what string) faults {
	return refuse(missingElement, "<"+what+"> is missing", info{"bad-element", what})
}

// faultsOf words any error as rpc-errors: configuration errors one by one with their paths, anything else as
// operation-failed.
func faultsOf(err error) faults {
	var fs faults
	if errors.As(err, &fs) {
		return fs
	}
	var many config.Errors
	if errors.As(err, &many) {
		for _, e := range many {
			fs = append(fs, faultOf(e))
		}
		return fs
	}
	var one *config.Error
	if errors.As(err, &one) {
		return faults{faultOf(one)}
	}
	return faults{{Type: "application", Tag: operationFailed, Message: config.Brief(err.Error(), config.BriefText)}}
}

// faultOf words one configuration error.
func faultOf(e *config.Error) fault {
	f := fault{Type: "application", Tag: Tag(e.Tag), Warning: e.Warning, Path: config.Brief(e.Path, config.BriefText), Message: config.Brief(e.Message, config.BriefText)}
	if f.Tag == "" {
		f.Tag = operationFailed
	}
	if e.Expected != "" {
		f.Message += ", expected: " + e.Expected
	}
	if e.Element != "" {
		f.Info = []info{{"bad-element", e.Element}}
	}
	return f
}

// appendFault appends one rpc-error, its children in the order that Junos gives them.
func appendFault(dst []byte, f fault) []byte {
	severity := "error"
	if f.Warning {
		severity = "warning"
	}
	dst = append(dst, "<rpc-error>\n"...)
	for _, leaf := range []info{
		{"error-type", f.Type},
		{"error-tag", string(f.Tag)},
		{"error-severity", severity},
		{"error-path", f.Path},
		{"error-message", f.Message},
	} {
		if leaf.text != "" {
			dst = append(appendLeaf(dst, leaf.name, leaf.text), '\n')
		}
	}
	if len(f.Info) > 0 {
		dst = append(dst, "<error-info>\n"...)
		for _, i := range f.Info {
			dst = append(appendLeaf(dst, i.name, config.Brief(i.text, config.BriefText)), '\n')
		}
		dst = append(dst, "</error-info>\n"...)
	}
	return append(dst, "</rpc-error>\n"...)
}

// sessionInfo is the error-info that names the session that holds a lock; 0 stands for someone who is not on NETCONF.
func sessionInfo(id uint32) info {
	return info{"session-id", strconv.FormatUint(uint64(id), 10)}
}

// missingAttributeOf names the attribute that an element lacks.
func missingAttributeOf(attribute, element string) faults {
	return faults{{
		Type: "rpc", Tag: missingAttribute, Message: fmt.Sprintf("attribute %s of <%s> is missing", attribute, element),
		Info: []info{{"bad-attribute", attribute}, {"bad-element", element}},
	}}
}
