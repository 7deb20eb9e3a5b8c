package netconf

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strconv"

	"gvpn/config"
	"gvpn/internal/auth"
	"gvpn/oper"
)

// operational is the operation of a Junos RPC that shows or clears something.
func operational(name string) (operation, bool) {
	all := oper.Commands()
	i := slices.IndexFunc(all, func(c oper.Command) bool { return c.RPC != "" && c.RPC == name })
	if i < 0 {
		return operation{}, false
	}
	needs := auth.Clear
	if all[i].Reply != nil {
		needs = auth.View
	}
	return operation{needs, func(x *session, op *element) ([]byte, error) { return x.operate(all[i], op) }}, true
}

// operate carries out one of Junos's operational RPCs. A reply is in XML, in a namespace of Junos's, or with format="text", as in
// Junos, the text that the shell shows, in <output>.
func (x *session) operate(c oper.Command, op *element) ([]byte, error) {
	args, err := arguments(c, op)
	if err != nil {
		return nil, err
	}
	format, _ := op.attr("format")
	switch format {
	case "", "xml", "text", "ascii":
	default:
		return nil, unsupported(op.name, "format "+strconv.Quote(format))
	}
	answer, err := c.Run(x.server.backend, args)
	switch {
	case err != nil:
		return nil, err
	case answer == nil:
		return []byte(ok), nil
	case format == "text" || format == "ascii":
		out := appendLeaf(nil, "output", "\n"+string(answer.AppendText(nil)))
		return append(bytes.ReplaceAll(out, []byte("&#xA;"), []byte("\n")), '\n'), nil // lines, as Junos has them
	}
	return oper.AppendXML(nil, answer, 0, ` xmlns="`+config.NamespaceJunos+`"`), nil
}

// input is an argument of an RPC.
type input struct {
	argument oper.Argument
	set      func(a *oper.Args, text string) error
}

// inputs are the elements that RPCs may hold. Junos's name of an argument is the same in all of them, but where the name of the RPC is
// in it.
var inputs = map[string]input{
	"brief":        {oper.Level, flag(func(*oper.Args) {})},
	"detail":       {oper.Level, flag(func(a *oper.Args) { a.Detail = true })},
	"level":        {oper.Level, setLevel},
	"group":        {oper.Group, setGroup},
	"group-id":     {oper.GroupID, setGroupID},
	"peer-address": {oper.Peer, setPeer},
	"peer-gateway": {oper.PeerGateway, name(func(a *oper.Args) *string { return &a.PeerGateway })},
	"vpn":          {oper.VPN, name(func(a *oper.Args) *string { return &a.VPN })},
	"index":        {oper.Index, setIndex},
	"show-gvpn-index-ipsec-security-association": {oper.Index, setIndex},
	"clear-security-group-vpn-server-group-name": {oper.Group, setGroup},
	"clear-security-group-vpn-server-group-id":   {oper.GroupID, setGroupID},
	"clear-security-group-vpn-server-now":        {oper.Now, flag(func(a *oper.Args) { a.Now = true })},
}

var setGroup = name(func(a *oper.Args) *string { return &a.Group })

// name is the set of an element that holds a name, which may not be empty.
func name(of func(a *oper.Args) *string) func(a *oper.Args, text string) error {
	return func(a *oper.Args, text string) error {
		if text == "" {
			return errors.New("it is empty")
		}
		*of(a) = text
		return nil
	}
}

// flag is the set of an element that says what it says by being there.
func flag(set func(a *oper.Args)) func(a *oper.Args, text string) error {
	return func(a *oper.Args, text string) error {
		if text != "" {
			return errors.New("it has no content")
		}
		set(a)
		return nil
	}
}

func setLevel(a *oper.Args, text string) error {
	if text != "brief" && text != "detail" {
		return errors.New("expected brief or detail")
	}
	a.Detail = text == "detail"
	return nil
}

func number(text string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, errors.New("expected a number from 1 to " + strconv.FormatUint(most, 10))
	}
	return n, nil
}

func setGroupID(a *oper.Args, text string) error {
	n, err := number(text, oper.MaxGroupID)
	a.GroupID = uint32(n)
	return err
}

func setIndex(a *oper.Args, text string) (err error) {
	a.Index, err = number(text, oper.MaxIndex)
	return err
}

func setPeer(a *oper.Args, text string) (err error) {
	if a.Peer, err = netip.ParseAddr(text); err != nil {
		return errors.New("expected an address")
	}
	return nil
}

// arguments reads what an RPC holds.
func arguments(c oper.Command, op *element) (a oper.Args, err error) {
	if op.text != "" {
		return a, refuse(badElement, "text in <"+op.name+">", info{"bad-element", op.name})
	}
	left := slices.Clone(c.Args)
	for _, e := range op.children {
		in, known := inputs[e.name]
		if !known || !slices.Contains(c.Args, in.argument) {
			return a, unsupported(e.name, op.name+" with "+e.name)
		}
		bad := info{"bad-element", e.name}
		if !slices.Contains(left, in.argument) {
			return a, refuse(badElement, "<"+e.name+"> cannot be given beside what is before it", bad)
		}
		left = in.argument.Beside(left)
		if len(e.children) > 0 {
			return a, refuse(badElement, "<"+e.name+"> holds elements, expected a value", bad)
		}
		if err := in.set(&a, e.text); err != nil {
			return a, refuse(invalidValue, "<"+e.name+">: "+err.Error(), bad)
		}
	}
	return a, nil
}
