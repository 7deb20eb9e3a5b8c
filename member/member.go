package member

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/turn"
)

// Limits that Junos's members report by counter (Exceed Maximum Keys(4), Exceed Maximum Policies(10)).
const (
	maxKeysPerTraffic = 4
	maxPoliciesPerTEK = 10
)

// Constants of this implementation.
const (
	maxTEKs     = 64 // of one VPN, whatever the server sends
	maxSeen     = 64 // accepted pushes remembered for repetition, all VPNs together
	maxAnswers  = 64 // repetitions of one that are acknowledged: more than a server makes (60), and no more, since anybody can repeat it from any address
	maxRetired  = 64 // SPIs of one VPN that are not to come back
	nonceLength = 32 // RFC 6407 section 5.8: 8..128

	// oldKEKLinger is how long pushes under a replaced KEK are still acknowledged, so that a server does not take us for
	// gone because its last push under that KEK crossed our pull.
	oldKEKLinger = 60 * time.Second

	// partWait is how long another part of a push that changes a key hierarchy may take, up to twice that at random: the parts
	// leave together.
	partWait = 5 * time.Second

	// bareMin and bareMax are the waits of a member that has no TEK before it pulls: doubling, with up to a quarter more.
	bareMin = 30 * time.Second
	bareMax = 10 * time.Minute
)

// Options are the times of a member. The zero value means the defaults.
type Options struct {
	// BackoffMin is the wait after the first round of all servers has failed (default 5 s); each further round doubles
	// it up to BackoffMax (default 60 s). Up to a quarter is added at random, so that members do not come back together.
	BackoffMin, BackoffMax time.Duration
	// Guard is the longest that one server is given, phase 1 and pull together (default 30 s). Package ike's own limits
	// end an attempt sooner; this one is for a server that answers just enough.
	Guard time.Duration
	// LeadMin is the least time before the hard lifetime of a key that a member registers again if no push came. The lead is
	// 7 % of the lifetime as received, less up to a seventh of that at random, and at least LeadMin (default 21 s): after
	// the push that a server sends at 10 % at the latest, and after a sub-server that missed its root's has asked for it; and so
	// long that a list of four servers (V6) of which the first three are silent, which takes 16.5 s to find out, still gives new keys in time.
	LeadMin time.Duration
	// LeadUntold stands in its place for TEKs of a group without a KEK (default 42 s). There whoever has the new TEK sends with it when
	// half of the old one's rest is over (see install): so the last must have it by half the lead of the first.
	LeadUntold time.Duration
	// TokenBase is added to the tokens of the exchanges that we begin, so that they are nobody else's (default 4<<56).
	TokenBase uint64
	// Again is the wait before a registration that the server asked for by deleting everything or its phase-1 SA, or that
	// a gap in push numbers asks for (default 1 s, up to four more at random).
	Again time.Duration
	// AckJitter is the most by which an acknowledgement is delayed (RFC 8263 section 4 allows 5 s); default 0.
	AckJitter time.Duration
	// Port is where pushes by multicast come to if the server does not say (default 848).
	Port uint16
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.BackoffMin, 5*time.Second)
	set(&o.BackoffMax, 60*time.Second)
	set(&o.Guard, 30*time.Second)
	set(&o.LeadMin, 21*time.Second)
	set(&o.LeadUntold, 42*time.Second)
	set(&o.Again, time.Second)
	if o.Port == 0 {
		o.Port = ike.Port
	}
	if o.TokenBase == 0 {
		o.TokenBase = 4 << 56
	}
	return o
}

// Member is the member engine of one node. It is not safe for concurrent use.
type Member struct {
	options  Options
	rand     io.Reader
	gateways map[string]step.Gateway
	vpns     map[string]*vpn
	// phase1 is the phase-1 SAs that are up, and since when: an attempt on one of these may meet a server that has
	// forgotten it.
	phase1 map[said]time.Time
	token  uint64
	seen   seen
	acks   []delayedAck // in order of due time
	strays Strays
	// listens is what the node has been told to listen to.
	listens []turn.Membership
	out     []turn.Output
}

// New makes a member engine that draws nonces and jitter from rand.
func New(rand io.Reader, o Options) *Member {
	o = o.withDefaults()
	return &Member{
		options:  o,
		token:    o.TokenBase,
		rand:     rand,
		gateways: map[string]step.Gateway{},
		vpns:     map[string]*vpn{},
		phase1:   map[said]time.Time{},
	}
}

// Prepare reports whether the member could carry out p. It changes nothing.
func (m *Member) Prepare(p *step.Plan) error {
	for _, c := range p.Gateways {
		g := c.New
		if g == nil || g.Side != step.Member {
			continue
		}
		if len(g.Remote) == 0 {
			return fmt.Errorf("member: gateway %s: no server-address", g.Name)
		}
	}
	for _, c := range p.VPNs {
		if c.New != nil && c.New.Group == 0 {
			return fmt.Errorf("member: vpn %s: no group", c.New.Name)
		}
	}
	return nil
}

// Configure takes over what is new or changed in p. What is gone stays until Forget, so that effects can reach it.
func (m *Member) Configure(_ time.Time, p *step.Plan) {
	for _, c := range p.Gateways {
		if c.New != nil && c.New.Side == step.Member {
			m.gateways[c.New.Name] = *c.New
		}
	}
	for _, c := range p.VPNs {
		if c.New == nil {
			continue
		}
		v := m.vpns[c.New.Name]
		if v == nil {
			v = newVPN()
			m.vpns[c.New.Name] = v
		}
		v.config = *c.New
	}
}

// Forget drops what p deletes.
func (m *Member) Forget(now time.Time, p *step.Plan) {
	for _, c := range p.VPNs {
		if c.New != nil || c.Old == nil {
			continue
		}
		if v := m.vpns[c.Old.Name]; v != nil {
			m.abandon(v)
			m.dropKeys(now, v)
			delete(m.vpns, c.Old.Name)
		}
	}
	for _, c := range p.Gateways {
		if c.New == nil && c.Old != nil && c.Old.Side == step.Member {
			delete(m.gateways, c.Old.Name)
		}
	}
}

// Next returns the next output, in order; false when there is none.
func (m *Member) Next() (turn.Output, bool) {
	if len(m.out) == 0 {
		return m.listen()
	}
	o := m.out[0]
	m.out[0] = nil
	m.out = m.out[1:]
	return o, true
}

func (m *Member) emit(o turn.Output) { m.out = append(m.out, o) }

func (m *Member) notify(s turn.Severity, code, format string, args ...any) {
	m.emit(turn.Notify{Severity: s, Code: code, Text: fmt.Sprintf(format, args...)})
}

// sorted returns the VPNs in order of name, as every walk that can be seen outside goes.
func (m *Member) sorted() []*vpn {
	names := slices.Sorted(maps.Keys(m.vpns))
	vpns := make([]*vpn, len(names))
	for i, n := range names {
		vpns[i] = m.vpns[n]
	}
	return vpns
}

// draw returns n random octets.
func (m *Member) draw(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(m.rand, b); err != nil {
		return nil, fmt.Errorf("member: draw %d random octets: %w", n, err)
	}
	return b, nil
}

// jitter returns a random duration in 0..limit, in milliseconds; 0 if no randomness is to be had, which only costs the
// spreading.
func (m *Member) jitter(limit time.Duration) time.Duration {
	if limit < time.Millisecond {
		return 0
	}
	steps := uint64(limit / time.Millisecond)
	b, err := m.draw(8)
	if err != nil {
		return 0
	}
	var x uint64
	for _, c := range b {
		x = x<<8 | uint64(c)
	}
	return time.Duration(x%(steps+1)) * time.Millisecond
}
