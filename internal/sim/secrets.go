package sim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"gvpn/oper"
)

// secrets finds key material where it must not be: as it is, in hexadecimal, in base64.
type secrets struct {
	names map[string]string // by form
	list  []string          // the forms, oldest first
	// starts has the forms by their first two octets: most places in a text begin none of them.
	starts [1 << 16][]string
}

// maxSecrets bounds what is looked for; older secrets are dead ones.
const maxSecrets = 3000

func newSecrets() *secrets { return &secrets{names: map[string]string{}} }

func (s *secrets) add(name string, secret []byte) {
	if len(secret) < 8 {
		return
	}
	for _, form := range []string{string(secret), hex.EncodeToString(secret), base64.RawStdEncoding.EncodeToString(secret[:len(secret)/3*3])} {
		if s.names[form] == "" {
			s.names[form] = name
			s.list = append(s.list, form)
			at := start(form)
			s.starts[at] = append(s.starts[at], form)
		}
	}
	for len(s.list) > maxSecrets {
		old := s.list[0]
		delete(s.names, old)
		at := start(old)
		s.starts[at] = slices.DeleteFunc(s.starts[at], func(form string) bool { return form == old })
		s.list = s.list[1:]
	}
}

func start(form string) uint16 { return uint16(form[0])<<8 | uint16(form[1]) }

// in names the first secret that is in b, empty if there is none.
func (s *secrets) in(b []byte) string {
	for i := 0; i+1 < len(b); i++ {
		for _, form := range s.starts[binary.BigEndian.Uint16(b[i:])] {
			if len(b)-i >= len(form) && string(b[i:i+len(form)]) == form {
				return s.names[form]
			}
		}
	}
	return ""
}

// public checks that there is no secret in what anybody may see.
func (v *verifier) public(n *Node, what string, b []byte) {
	if name := v.secrets.in(b); name != "" {
		n.w.violate("%s: %s in %s", n.Name, name, what)
	}
}

// failure checks an error, and returns it.
func (v *verifier) failure(n *Node, err error) error {
	if err != nil {
		v.public(n, "an error", []byte(err.Error()))
	}
	return err
}

// askEvery is how often an operator asks a node everything. After every turn it would take many times the time of all the rest.
const askEvery = 5 * time.Minute

// replies looks for secrets in all that an operator can have shown, in every form and as far in detail as there is.
func (v *verifier) replies(n *Node) {
	if n.w.now.Sub(n.shown) < n.w.seldom(askEvery, 12*time.Hour) {
		return
	}
	n.shown = n.w.now
	e := n.engine.State()
	st := oper.State{
		Now: n.now(), IKE: e.IKE, Server: e.Server, Cluster: e.Cluster, Member: e.Member,
		Groups: n.engine.Groups(), VPNs: n.engine.VPNs(),
	}
	for _, c := range oper.Commands() {
		if c.Reply == nil {
			continue
		}
		for _, a := range []oper.Args{{}, {Detail: true}, {Group: "no such group", VPN: "no such vpn"}} {
			if a.Detail && !slices.Contains(c.Args, oper.Level) {
				continue
			}
			r, err := c.Reply(&st, a)
			if v.failure(n, err) != nil {
				continue
			}
			v.public(n, c.Words, oper.AppendJSON(oper.AppendXML(r.AppendText(nil), r, 0, ""), r))
		}
	}
}
