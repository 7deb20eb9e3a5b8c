package ike

import (
	"crypto/subtle"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"gvpn/commit/step"
	"gvpn/isakmp"
)

// identity makes the ID of a configured identity, or of an address if none is. A distinguished name is the subject of a
// certificate, as DER.
func identity(id step.Identity, addr netip.Addr, subject []byte) (isakmp.ID, error) {
	switch id.Kind {
	case step.None:
	case step.Inet:
		a, err := netip.ParseAddr(id.Value)
		if err != nil {
			return isakmp.ID{}, fmt.Errorf("identity inet %q is not an address", id.Value)
		}
		addr = a
	case step.Hostname, step.UserAtHostname:
		t := isakmp.IDFQDN
		if id.Kind == step.UserAtHostname {
			t = isakmp.IDUserFQDN
		}
		if id.Value == "" || len(id.Value) > 255 {
			return isakmp.ID{}, fmt.Errorf("identity of %d octets is not supported (1 to 255)", len(id.Value))
		}
		return isakmp.ID{Type: t, Data: []byte(id.Value)}, nil
	case step.DistinguishedName:
		if subject == nil {
			return isakmp.ID{}, fmt.Errorf("identity distinguished-name needs a certificate")
		}
		return isakmp.ID{Type: isakmp.IDDERDN, Data: subject}, nil
	default:
		return isakmp.ID{}, fmt.Errorf("identity kind %d is not supported", id.Kind)
	}
	t := isakmp.IDIPv4
	if addr = addr.Unmap(); addr.Is6() {
		t = isakmp.IDIPv6
	}
	return isakmp.ID{Type: t, Data: addr.AsSlice()}, nil
}

// idKey is what two IDs have in common exactly if they are the same. Host names compare without the case of ASCII letters, as
// DNS does; so does what stands behind the last @ of a user, and nothing else. A distinguished name is its text in the form of
// RFC 2253, the last part of the name first, so that one string type of ASN.1 is as good as another; "" if it is none.
func idKey(id isakmp.ID) string {
	text := string(id.Data)
	switch id.Type {
	case isakmp.IDFQDN:
		text = lower(text)
	case isakmp.IDUserFQDN:
		at := strings.LastIndexByte(text, '@') + 1
		text = text[:at] + lower(text[at:])
	case isakmp.IDDERDN:
		var ok bool
		if text, ok = nameText(id.Data); !ok {
			return ""
		}
	}
	return string(rune(id.Type)) + text
}

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// nameText is a distinguished name as it is configured; false if the octets are not DER of one.
func nameText(der []byte) (string, bool) {
	var name pkix.RDNSequence
	rest, err := asn1.Unmarshal(der, &name)
	if err != nil || len(rest) != 0 || len(name) == 0 {
		return "", false
	}
	return name.String(), true
}

// wants is the idKey of what g's peer shows when it comes from an address.
func (g *gateway) wants(from netip.Addr) string {
	want := g.c.RemoteID
	if g.c.Dynamic.Kind != step.None {
		want = g.c.Dynamic
	}
	if want.Kind == step.DistinguishedName {
		return string(rune(isakmp.IDDERDN)) + want.Value
	}
	id, err := identity(want, from, nil)
	if err != nil {
		return ""
	}
	return idKey(id)
}

// matches reports whether the ID that a peer showed is the one wanted. Protocol and port must be zero, or UDP with a port
// of IKE's (RFC 2407 section 4.6.2; 848 as RFC 6407 section 2.2 moves it).
func matches(got isakmp.ID, want string, port uint16) bool {
	switch {
	case got.Protocol == 0 && got.Port == 0:
	case got.Protocol == 17 && (got.Port == 0 || got.Port == 500 || got.Port == NATPort || got.Port == Port || got.Port == port):
	default:
		return false
	}
	return want != "" && idKey(got) == want
}

// idText shows an ID to a person; what a peer chose is quoted.
func idText(id isakmp.ID) string {
	if a, ok := netip.AddrFromSlice(id.Data); ok && (id.Type == isakmp.IDIPv4 || id.Type == isakmp.IDIPv6) {
		return a.String()
	}
	switch id.Type {
	case isakmp.IDFQDN, isakmp.IDUserFQDN:
		return fmt.Sprintf("%q", id.Data)
	case isakmp.IDDERDN:
		if text, ok := nameText(id.Data); ok {
			return fmt.Sprintf("%q", text)
		}
	}
	return fmt.Sprintf("type %d %x", id.Type, id.Data)
}

// keyText shows what is wanted.
func keyText(key string) string {
	if key == "" {
		return "none"
	}
	return idText(isakmp.ID{Type: isakmp.IDType(key[0]), Data: []byte(key[1:])})
}

// maxLeads is how many different lists of proposals message 1 is compared with at most, of the gateways of one address and of
// the dynamic ones each.
const maxLeads = 8

// dynamics are the gateways without an address. Nobody can say who a stranger is before it shows its identity; but what it can
// offer depends on proposals only, and those are few.
type dynamics struct {
	byID  map[string][]*gateway // sorted by name
	all   map[*gateway]bool
	leads []*gateway // one for each list of proposals, mode and local address; nil after a change
}

func byName(a, b *gateway) int { return strings.Compare(a.c.Name, b.c.Name) }

func insert(l []*gateway, g *gateway) []*gateway {
	i, _ := slices.BinarySearchFunc(l, g, byName)
	return slices.Insert(l, i, g)
}

// without takes x out of l in place, and leaves nothing of it behind.
func without[T comparable](l []T, x T) []T {
	return slices.DeleteFunc(l, func(o T) bool { return o == x })
}

func (d *dynamics) add(g *gateway) {
	if d.byID == nil {
		d.byID, d.all = make(map[string][]*gateway), make(map[*gateway]bool)
	}
	id := g.wants(netip.Addr{})
	d.byID[id] = insert(d.byID[id], g)
	d.all[g] = true
	d.leads = nil
}

func (d *dynamics) remove(g *gateway) {
	id := g.wants(netip.Addr{})
	if d.byID[id] = without(d.byID[id], g); len(d.byID[id]) == 0 {
		delete(d.byID, id)
	}
	delete(d.all, g)
	d.leads = nil
}

// unlike are gateways of a list that differ in what they accept, in order, few at most.
func unlike(l []*gateway) []*gateway {
	var out []*gateway
	for _, g := range l {
		if len(out) == maxLeads {
			break
		}
		if g.bad == nil && !slices.ContainsFunc(out, func(o *gateway) bool {
			return o.c.Local == g.c.Local && o.c.Mode == g.c.Mode && slices.Equal(o.c.Proposals, g.c.Proposals)
		}) {
			out = append(out, g)
		}
	}
	return out
}

// leads are the gateways to begin with when somebody opens a negotiation from an address: those of the address, with our own
// address before those with none, then dynamic ones. Which gateway it is in the end, the identity says (claim).
func (e *Endpoint) leads(local, remote netip.Addr, aggressive bool) []*gateway {
	if e.dynamic.leads == nil {
		e.dynamic.leads = unlike(slices.SortedFunc(maps.Keys(e.dynamic.all), byName))
	}
	var exact, others []*gateway
	for _, g := range slices.Concat(unlike(e.byRemote[remote]), e.dynamic.leads) {
		switch {
		case g.aggressive() != aggressive:
		case g.c.Local == local:
			exact = append(exact, g)
		case !g.c.Local.IsValid():
			others = append(others, g)
		}
	}
	return append(exact, others...)
}

// claim is the gateway that a peer with an ID is of, nil if of none: p's own, or one that it could as well have begun with. With
// pre-shared keys in main mode those are gateways of its address with the same key, since the key was needed before the ID came.
func (e *Endpoint) claim(p *phase1, id isakmp.ID) *gateway {
	from := p.remote.Addr()
	if matches(id, p.gw.wants(from), e.o.Port) {
		return p.gw
	}
	if p.initiator || p.aggressive {
		return nil
	}
	for _, g := range slices.Concat(e.byRemote[from], e.dynamic.byID[idKey(id)]) {
		switch {
		case g.bad != nil || g.aggressive() || !responds(g) || !slices.ContainsFunc(g.c.Proposals, func(c step.Proposal) bool { return offerOf(c).suite == p.suite }):
		case g.c.Local.IsValid() && g.c.Local != p.local.Addr():
		case p.suite.auth == step.PreSharedKeys && subtle.ConstantTimeCompare(g.c.PSK, p.gw.c.PSK) != 1:
		case matches(id, g.wants(from), e.o.Port):
			return g
		}
	}
	return nil
}

// identify decides on our identity.
func (p *phase1) identify() (err error) {
	if p.gw.c.LocalID.Kind == step.None && p.local.Addr().IsUnspecified() {
		return errors.New("no local address to identify by: configure local-address or local-identity")
	}
	p.localID, err = identity(p.gw.c.LocalID, p.local.Addr(), p.gw.subject())
	return err
}

func (g *gateway) subject() []byte {
	if g.cred == nil {
		return nil
	}
	return g.cred.leaf.RawSubject
}

// adopt makes a negotiation another gateway's.
func (p *phase1) adopt(g *gateway) {
	p.gw.sas = without(p.gw.sas, p)
	p.gw = g
	g.sas = append(g.sas, p)
}

func (g *gateway) aggressive() bool { return g.c.Mode == "aggressive" }
