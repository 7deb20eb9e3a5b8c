package engine

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"gvpn/cluster"
	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/member"
	"gvpn/server"
	"gvpn/turn"
)

// commitKey is the record of the last commit that was carried out.
const commitKey = "engine/commit"

// Work IDs and exchange tokens carry in their high octet whose they are.
const (
	ikeBase     = 1 << 56
	serverBase  = 2 << 56
	clusterBase = 3 << 56
	memberBase  = 4 << 56
)

// Options are those of the engines. WorkBase and TokenBase are set here.
type Options struct {
	IKE     ike.Options
	Server  server.Options
	Cluster cluster.Options
	Member  member.Options
}

// Engine is one node's engines. It is not safe for concurrent use.
type Engine struct {
	ike     *ike.Endpoint
	server  *server.Server
	cluster *cluster.Cluster
	member  *member.Member

	applied     uint64
	hostName    string
	memberLimit int
	groups      map[string]step.Group
	vpns        map[string]step.VPN

	refused Refused
	out     []turn.Output
}

// New makes an engine without configuration. rand gives all randomness: nonces, cookies, exponents, SPIs, keys, jitter.
func New(rand io.Reader, o Options) *Engine {
	o.IKE.WorkBase, o.Server.WorkBase, o.Cluster.TokenBase, o.Member.TokenBase = ikeBase, serverBase, clusterBase, memberBase
	o.Server.Port, o.Member.Port = o.IKE.Port, o.IKE.Port
	return &Engine{
		ike:     ike.New(rand, o.IKE),
		server:  server.New(rand, o.Server),
		cluster: cluster.New(rand, o.Cluster),
		member:  member.New(rand, o.Member),
		groups:  map[string]step.Group{},
		vpns:    map[string]step.VPN{},
	}
}

// Restore takes over the records of an earlier life, key to value, before the first Apply. The error names records that
// could not be read; the engine goes on without them.
func (e *Engine) Restore(now time.Time, records map[string][]byte) error {
	var bad error
	if v, ok := records[commitKey]; ok {
		n, err := strconv.ParseUint(string(v), 10, 64)
		if err != nil {
			bad = fmt.Errorf("engine: record %s: %d octets that are no number", commitKey, len(v))
		}
		e.applied = n
	}
	err := errors.Join(bad, e.server.Restore(now, records))
	e.drain(now)
	return err
}

// Applied returns the number of the last commit that was carried out, in this life or an earlier one; 0 if none.
func (e *Engine) Applied() uint64 { return e.applied }

// HandleTimeout does what is due at now.
func (e *Engine) HandleTimeout(now time.Time) {
	e.ike.HandleTimeout(now)
	e.drain(now)
	e.server.HandleTimeout(now)
	e.drain(now)
	e.cluster.HandleTimeout(now)
	e.drain(now)
	e.member.HandleTimeout(now)
	e.drain(now)
}

// HandleResult takes the result of a Work. Results of an earlier life, or of nobody, are dropped.
func (e *Engine) HandleResult(now time.Time, r turn.Result) {
	switch {
	case e.ike.Owns(r.ID):
		e.ike.HandleResult(now, r)
	case e.server.Owns(r.ID):
		e.server.HandleResult(now, r)
	}
	e.drain(now)
}

// Deadline returns when HandleTimeout is due; false if never as things stand.
func (e *Engine) Deadline() (time.Time, bool) {
	var next time.Time
	found := false
	for _, deadline := range []func() (time.Time, bool){e.ike.Deadline, e.server.Deadline, e.cluster.Deadline, e.member.Deadline} {
		if t, ok := deadline(); ok && (!found || t.Before(next)) {
			next, found = t, true
		}
	}
	return next, found
}

// Next returns the next output, in order: one of package turn's. False when there is none.
func (e *Engine) Next() (turn.Output, bool) {
	if len(e.out) == 0 {
		return nil, false
	}
	o := e.out[0]
	e.out[0] = nil
	if e.out = e.out[1:]; len(e.out) == 0 {
		e.out = nil
	}
	return o, true
}

// Do carries out a command of an operator or the data plane: one of package server's, cluster's, member's or ike's.
func (e *Engine) Do(now time.Time, c any) error {
	var err error
	switch c := c.(type) {
	case server.Command:
		err = e.server.Do(now, c)
	case cluster.Command:
		err = e.cluster.Do(now, c)
	case member.Command:
		e.member.Do(now, c)
	case ike.Command:
		e.ike.Do(now, c)
	default:
		err = fmt.Errorf("engine: %T is no command", c)
	}
	e.drain(now)
	return err
}

// State is a copy of what every engine shows; no keys.
type State struct {
	Applied uint64
	IKE     ike.State
	Server  server.State
	Cluster cluster.State
	Member  member.State
	Refused Refused
}

// State returns a copy.
func (e *Engine) State() State {
	return State{
		Applied: e.applied,
		IKE:     e.ike.State(), Server: e.server.State(), Cluster: e.cluster.State(), Member: e.member.State(),
		Refused: e.refused,
	}
}

// Configured is the configuration that the engines hold, each list sorted by name. A fresh Engine after the plan from the
// empty configuration holds the same as one that came there by any other way.
type Configured struct {
	HostName    string
	MemberLimit int
	Gateways    []step.Gateway
	Groups      []step.Group
	VPNs        []step.VPN
}

// Configured returns a copy; it shares its secrets with the engine.
func (e *Engine) Configured() Configured {
	return Configured{HostName: e.hostName, MemberLimit: e.memberLimit, Gateways: e.ike.Gateways(), Groups: e.Groups(), VPNs: e.VPNs()}
}

// Peers are the addresses of every group's cluster peers, in no order, perhaps some twice.
func (e *Engine) Peers() (addrs []netip.Addr) {
	for _, g := range e.groups {
		if g.Role == step.Standalone {
			continue
		}
		for _, name := range g.Peers {
			addrs = append(addrs, e.ike.Remotes(name)...)
		}
	}
	return addrs
}

// Groups are those of Configured, without the gateways, of which there may be very many.
func (e *Engine) Groups() []step.Group { return inOrder(e.groups) }

// VPNs are those of Configured.
func (e *Engine) VPNs() []step.VPN { return inOrder(e.vpns) }

func inOrder[V any](m map[string]V) []V {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	values := make([]V, len(names))
	for i, n := range names {
		values[i] = m[n]
	}
	return values
}
