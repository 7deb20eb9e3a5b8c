package ike

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

// gateway is a configured gateway with its SAs and its DPD. It outlives its configuration as long as an SA is closing.
type gateway struct {
	c    step.Gateway // the secrets are our own, the rest is the plan's, which nobody changes
	bad  error        // what Supports says of c
	gone bool         // taken out of the configuration
	sas  []*phase1    // in the order in which they began
	dpd  dpd
	warm map[netip.Addr]*warmPath

	cred      *credential    // nil with pre-shared keys
	anchors   *x509.CertPool // likewise
	contacted []netip.Addr
	noticed   map[string]time.Time // when a peer's message last made a Notify, by code
}

// Checker checks gateways; what they share is read once. The zero Checker is ready; Close destroys the keys that it holds.
type Checker struct{ vault vault }

// Close ends the use of a Checker.
func (c *Checker) Close() { c.vault.close() }

// Supports names what of a gateway this package cannot do, nil if nothing.
func (c *Checker) Supports(g step.Gateway) error {
	if g.Cert != nil {
		c.vault.take(g) // until Close: the next gateway may have the same
	}
	return supports(g, &c.vault)
}

func supports(g step.Gateway, v *vault) error {
	no := func(statement, format string, args ...any) error {
		return &step.Refusal{Gateway: g.Name, Side: g.Side, Statement: strings.Fields(statement), Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case g.Mode != "" && g.Mode != "main" && g.Mode != "aggressive":
		return no("ike-policy", "mode %s of the policy is not supported (main and aggressive are)", g.Mode)
	case len(g.Proposals) == 0:
		return no("ike-policy", "the policy has no proposal")
	case g.Dynamic.Kind != step.None && len(g.Remote) != 0:
		return no("dynamic", "the gateway has an address too")
	case g.Dynamic.Kind == step.None && len(g.Remote) == 0:
		return no("", "no address")
	}
	auth := g.Proposals[0].Auth
	switch {
	case auth == step.PreSharedKeys && len(g.PSK) == 0:
		return no("ike-policy", "the policy has no pre-shared key")
	case auth == step.PreSharedKeys && g.Dynamic.Kind != step.None && g.Mode != "aggressive":
		return no("dynamic", "Main mode for dynamic peer with Preshared key based authentication is not allowed")
	}
	for _, p := range g.Proposals {
		if _, err := groupOf(p.DHGroup); err != nil {
			return no("ike-policy", "proposal %s: %v", p.Name, err)
		}
		if hashNumbers[p.Hash] == 0 {
			return no("ike-policy", "proposal %s: authentication-algorithm %v is not supported", p.Name, p.Hash)
		}
		if (p.Auth == step.PreSharedKeys) != (auth == step.PreSharedKeys) {
			return no("ike-policy", "proposal %s: %v beside %v of another proposal is not supported: the policy has one or the other", p.Name, p.Auth, auth)
		}
		if want := map[step.AuthMethod]sa.Hash{step.ECDSASignatures256: sa.SHA256, step.ECDSASignatures384: sa.SHA384}[p.Auth]; want != 0 && p.Hash != want {
			return no("ike-policy", "proposal %s: %v with %v is not supported: it needs %v (RFC 4754)", p.Name, p.Auth, p.Hash, want)
		}
		if p.KeyBits != 128 && p.KeyBits != 192 && p.KeyBits != 256 {
			return no("ike-policy", "proposal %s: AES-CBC with %d bits is not supported", p.Name, p.KeyBits)
		}
	}
	for _, a := range g.Remote {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || g.Local.IsValid() && a.Unmap().Is4() != g.Local.Unmap().Is4() {
			return no("", "address %v with local-address %v is not supported", a, g.Local)
		}
	}
	if g.Mode == "aggressive" {
		if why := checkAggressive(g); why != "" {
			return no("ike-policy", "%s", why)
		}
	}
	var subject []byte
	if auth != step.PreSharedKeys {
		c := v.take(g)
		defer v.drop(g)
		if err := c.fit(g); err != nil {
			return no("ike-policy", "%v", err)
		}
		subject = c.cred.leaf.RawSubject
	}
	if _, err := identity(g.LocalID, netip.IPv4Unspecified(), subject); err != nil {
		return no("local-identity", "%v", err)
	}
	for statement, id := range map[string]step.Identity{"remote-identity": g.RemoteID, "dynamic": g.Dynamic} {
		switch {
		case id.Kind != step.DistinguishedName:
			if _, err := identity(id, netip.IPv4Unspecified(), nil); err != nil {
				return no(statement, "%v", err)
			}
		case auth == step.PreSharedKeys:
			return no(statement, "distinguished-name with pre-shared keys is not supported: it is a certificate's subject")
		case id.Value == "":
			return no(statement, "distinguished-name needs the name of a certificate's subject")
		}
	}
	return nil
}

// SetGateway adds a gateway or replaces the one of the same name. SAs stay; negotiations under way are dropped if anything but
// DPD changed, and those of ours begin again with what is new. A gateway that Supports refuses neither connects nor answers.
func (e *Endpoint) SetGateway(now time.Time, c step.Gateway) {
	c.PSK = c.PSK.Clone()
	if c.Cert != nil {
		c.Cert = &step.Certificate{Name: c.Cert.Name, PEM: c.Cert.PEM.Clone()}
	}
	if slices.ContainsFunc(c.Remote, netip.Addr.Is4In6) {
		c.Remote = slices.Clone(c.Remote)
		for i := range c.Remote {
			c.Remote[i] = c.Remote[i].Unmap()
		}
	}
	c.Local = c.Local.Unmap()
	g := e.gateways[c.Name]
	switch {
	case g == nil:
		g = &gateway{}
		g.dpd.timer.fire = func(now time.Time) { e.dpdTick(now, g) }
		e.gateways[c.Name] = g
	case reflect.DeepEqual(g.c, c):
		wipe(c)
		return
	case reflect.DeepEqual(withDPDOf(g.c, c), c):
		g.c = withDPDOf(g.c, c)
		wipe(c)
		e.dpdConfigured(now, g)
		return
	default:
		e.unindex(g)
		e.half.forgetSlots(g)
		e.forgetSecrets(g)
	}
	held := &certificates{}
	if c.Cert != nil {
		held = e.vault.take(c)
	}
	if g.c, g.bad = c, supports(c, &e.vault); g.bad == nil {
		g.cred, g.anchors = held.cred, held.anchors
	}
	e.index(g)
	for _, p := range slices.Clone(g.sas) {
		if !p.negotiating() {
			continue
		}
		e.discard(p)
		if !p.initiator {
			continue
		}
		if g.bad == nil && slices.Contains(g.c.Remote, p.remote.Addr()) {
			e.initiate(now, g, p.remote.Addr())
		} else {
			e.emit(Failed{Gateway: g.c.Name, Remote: p.remote.Addr(), Reason: "gateway reconfigured"})
		}
	}
	e.dpdConfigured(now, g)
}

// withDPDOf is g with what decides about DPD taken from o.
func withDPDOf(g, o step.Gateway) step.Gateway {
	g.DPD, g.Peer = o.DPD, o.Peer
	return g
}

// RemoveGateway takes a gateway away. Its SAs are deleted as by Delete; those that are closing finish.
func (e *Endpoint) RemoveGateway(now time.Time, name string) {
	g := e.gateways[name]
	if g == nil {
		return
	}
	e.deleteSAs(now, g, netip.Addr{})
	e.letCool(g, netip.Addr{})
	e.unindex(g)
	e.half.forgetSlots(g)
	delete(e.gateways, name)
	g.gone = true
	e.forgetSecrets(g)
}

// forgetSecrets destroys those of a gateway that it does not share with another.
func (e *Endpoint) forgetSecrets(g *gateway) {
	e.vault.drop(g.c)
	wipe(g.c)
	g.cred, g.anchors = nil, nil
}

// wipe destroys the secrets of a configuration of ours.
func wipe(c step.Gateway) {
	c.PSK.Zero()
	if c.Cert != nil {
		c.Cert.PEM.Zero()
	}
}

func (e *Endpoint) index(g *gateway) {
	for _, a := range g.c.Remote {
		e.byRemote[a] = insert(e.byRemote[a], g)
	}
	if g.c.Dynamic.Kind != step.None {
		e.dynamic.add(g)
	}
}

func (e *Endpoint) unindex(g *gateway) {
	for _, a := range g.c.Remote {
		if e.byRemote[a] = without(e.byRemote[a], g); len(e.byRemote[a]) == 0 {
			delete(e.byRemote, a)
		}
	}
	if g.c.Dynamic.Kind != step.None {
		e.dynamic.remove(g)
	}
}

// Gateways returns the configured gateways by name, with addresses as IPv4 where they are. They share their secrets with e.
func (e *Endpoint) Gateways() []step.Gateway {
	out := make([]step.Gateway, 0, len(e.gateways))
	for _, g := range e.gatewaysSorted() {
		out = append(out, g.c)
	}
	return out
}

// Gateway returns a configured gateway, as Gateways does; false if there is none of that name.
func (e *Endpoint) Gateway(name string) (step.Gateway, bool) {
	if g := e.gateways[name]; g != nil {
		return g.c, true
	}
	return step.Gateway{}, false
}

// Remotes returns the addresses of a gateway; the caller must not change them.
func (e *Endpoint) Remotes(gateway string) []netip.Addr {
	if g := e.gateways[gateway]; g != nil {
		return g.c.Remote
	}
	return nil
}

func (e *Endpoint) gatewaysSorted() []*gateway {
	all := make([]*gateway, 0, len(e.gateways))
	for _, g := range e.gateways {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *gateway) int { return strings.Compare(a.c.Name, b.c.Name) })
	return all
}

// newest is the SA that is up, with one address if remote is valid, and that began last.
func (g *gateway) newest(remote netip.Addr, ok func(*phase1) bool) *phase1 {
	for _, p := range slices.Backward(g.sas) {
		if p.state == up && (!remote.IsValid() || p.remote.Addr() == remote) && ok(p) {
			return p
		}
	}
	return nil
}

// initiating reports whether a negotiation of ours with an address is under way.
func (g *gateway) initiating(remote netip.Addr) bool {
	return slices.ContainsFunc(g.sas, func(p *phase1) bool {
		return p.initiator && p.negotiating() && p.remote.Addr() == remote
	})
}

func (e *Endpoint) connect(now time.Time, c Connect) {
	remote := c.Remote.Unmap()
	g := e.gateways[c.Gateway]
	reason := ""
	switch {
	case g == nil:
		reason = "no such gateway"
	case g.bad != nil:
		reason = g.bad.Error()
	case !slices.Contains(g.c.Remote, remote):
		reason = "not an address of the gateway"
	}
	if reason != "" {
		e.emit(Failed{Gateway: c.Gateway, Remote: remote, Reason: reason})
		return
	}
	if p := g.newest(remote, func(p *phase1) bool { return !p.suspect }); p != nil {
		e.emit(p.upMessage())
		return
	}
	if !g.initiating(remote) {
		e.initiate(now, g, remote)
	}
}

func (e *Endpoint) delete(now time.Time, c Delete) {
	if g := e.gateways[c.Gateway]; g != nil {
		e.deleteSAs(now, g, c.Remote.Unmap())
		e.letCool(g, c.Remote.Unmap())
	}
}

func (e *Endpoint) deleteSAs(now time.Time, g *gateway, remote netip.Addr) {
	for _, p := range slices.Clone(g.sas) {
		if remote.IsValid() && p.remote.Addr() != remote {
			continue
		}
		switch p.state {
		case closing:
		case up:
			e.shut(now, p, DeletedByUs)
		default:
			e.fail(p, DeletedByUs)
		}
	}
	if !slices.ContainsFunc(g.sas, func(p *phase1) bool { return p.state != closing }) {
		e.dpdStop(g)
	}
}

// notice emits a Notify about what a peer's message caused, for one gateway and code at most every ten seconds and for all
// gateways at most 60 a minute: what anybody can send must not fill the log. What is left out is counted.
func (e *Endpoint) notice(now time.Time, g *gateway, s turn.Severity, code, format string, args ...any) {
	if last, ok := g.noticed[code]; ok && now.Sub(last) < 10*time.Second || !e.notices.allow(now) {
		e.tally(tallySilent)
		return
	}
	if g.noticed == nil {
		g.noticed = make(map[string]time.Time)
	}
	g.noticed[code] = now
	e.notify(s, code, format, args...)
}

func (e *Endpoint) notify(s turn.Severity, code, format string, args ...any) {
	e.emit(turn.Notify{Severity: s, Code: code, Text: fmt.Sprintf(format, args...)})
}
