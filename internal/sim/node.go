package sim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gvpn/commit"
	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/dataplane"
	"gvpn/engine"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// Node is one node of a world: configuration, engines and data plane, and a disk that survives crashes.
type Node struct {
	Name string
	// LAN is the network behind a member, for the traffic that is sent through its data plane; invalid if none.
	LAN netip.Prefix

	w      *World
	up     bool
	server bool      // has groups to serve,
	sub    bool      // and is a sub-server in all of them
	due    time.Time // of its engines, in the world's time
	at     int       // in the world's queue of those; -1: nothing is due
	life   int       // counts starts
	offset time.Duration
	rand   *rand.Rand
	engine *engine.Engine
	plane  *dataplane.Plane
	db     *commit.DB
	vpns   map[string]step.VPN
	groups []turn.Membership
	cut    int       // outputs until a crash; -1: none planned
	shown  time.Time // when its operational replies were looked at last

	pending []string   // set lines that a test has not committed yet
	planned *step.Plan // of the last commit of this life

	// The disk.
	log     *commit.MemoryLog
	records map[string][]byte
}

// Node adds a node that is up and has no configuration. Its addresses are the local-addresses of its gateways.
func (w *World) Node(name string) *Node {
	n := &Node{Name: name, w: w, log: &commit.MemoryLog{}, records: map[string][]byte{}, cut: -1, at: -1}
	w.down++
	w.nodes[name] = n
	place, _ := slices.BinarySearchFunc(w.order, name, func(o *Node, name string) int { return strings.Compare(o.Name, name) })
	w.order = slices.Insert(w.order, place, n)
	n.start()
	return n
}

// now is the node's own clock.
func (n *Node) now() time.Time { return n.w.now.Add(n.offset) }

// Skew sets the node's clock off by d from the world's.
func (n *Node) Skew(d time.Duration) {
	n.offset = d
	n.w.verify.skewed = true
	n.w.rearm(n)
	n.w.note("%s clock off by %v", n.Name, d)
	n.w.verify.disturb(n.w)
}

// Read lets the engine draw its randomness from the world's seed: each life of each node has its own.
func (n *Node) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(n.rand.Uint32())
	}
	return len(b), nil
}

// start begins a life with what the disk holds.
func (n *Node) start() {
	n.life++
	h := uint64(14695981039346656037)
	for _, c := range []byte(n.Name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	n.rand = rand.New(rand.NewPCG(n.w.seed^h, uint64(n.life)))
	n.up, n.cut = true, -1
	n.w.down--
	n.engine = engine.New(n, engine.Options{})
	n.plane = dataplane.New(n)
	n.vpns, n.groups = map[string]step.VPN{}, nil
	if err := n.engine.Restore(n.now(), n.records); err != nil {
		n.w.violate("%s: restore: %v", n.Name, err)
	}
	db, err := commit.Open(n.log, (*applier)(n), n.now)
	if err == nil {
		err = db.Applied(n.engine.Applied())
	}
	if err != nil {
		n.w.violate("%s: open the configuration: %v", n.Name, err)
	}
	n.db = db
	n.drain()
}

// Crash ends the node's life now.
func (n *Node) Crash() {
	if !n.up {
		return
	}
	n.up = false
	n.w.down++
	n.engine, n.plane, n.db = nil, nil, nil
	n.w.rearm(n)
	n.w.note("%s crash", n.Name)
	n.w.verify.disturb(n.w)
}

// CrashAfter ends the node's life after so many more outputs of its engines: what the turn says after them is lost.
func (n *Node) CrashAfter(outputs int) {
	n.cut = outputs
	n.w.verify.disturb(n.w)
}

// Restart begins the next life.
func (n *Node) Restart() {
	if n.up {
		return
	}
	n.w.note("%s restart", n.Name)
	n.w.verify.disturb(n.w)
	n.start()
}

// applier is a Node as package commit sees it.
type applier Node

// Prepare implements commit.Applier.
func (a *applier) Prepare(p *step.Plan) error {
	for _, c := range p.VPNs {
		if c.New != nil {
			if err := dataplane.CheckVPN(*c.New); err != nil {
				return err
			}
		}
	}
	return a.engine.Prepare(p)
}

// Apply implements commit.Applier.
func (a *applier) Apply(p *step.Plan) {
	n := (*Node)(a)
	for _, f := range p.Effects {
		n.w.note("%s effect %s", n.Name, f)
	}
	for _, c := range p.VPNs {
		if c.New != nil {
			n.plane.SetVPN(*c.New)
			n.vpns[c.New.Name] = *c.New
		}
	}
	n.engine.Apply(n.now(), p)
	groups := n.engine.Configured().Groups
	n.server = len(groups) > 0
	n.sub = n.server && !slices.ContainsFunc(groups, func(g step.Group) bool { return g.Role != step.SubServer })
	n.drain()
	if !n.up {
		return
	}
	for _, c := range p.VPNs {
		if c.New == nil && c.Old != nil {
			n.plane.RemoveVPN(c.Old.Name)
			delete(n.vpns, c.Old.Name)
		}
	}
	for _, g := range n.engine.Configured().Gateways {
		if g.Local.IsValid() {
			n.w.at[g.Local] = n
		}
	}
	n.w.verify.configured(n, p)
}

// Load replaces the node's configuration by text in curly form.
func (n *Node) Load(file string, text []byte) error {
	t, errs := config.Tree{}.LoadCurly(nil, config.Override, file, text)
	if err := errs.Err(); err != nil {
		return err
	}
	return n.commit(t)
}

// Commit changes the node's configuration by set and delete lines, and commits it.
func (n *Node) Commit(lines []byte) error {
	t, errs := n.db.Running().LoadSet(nil, n.Name, lines)
	if err := errs.Err(); err != nil {
		return n.w.verify.failure(n, err)
	}
	return n.commit(t)
}

func (n *Node) commit(t config.Tree) error {
	if !n.up {
		return fmt.Errorf("sim: node %s is down", n.Name)
	}
	n.w.note("%s commit", n.Name)
	n.w.verify.disturb(n.w)
	db := n.db
	db.Candidate().Update(t)
	done, err := db.Commit(commit.Options{User: "sim", Client: "sim"})
	if err != nil {
		db.Candidate().Discard()
		return n.w.verify.failure(n, err)
	}
	n.planned = done.Plan
	return nil
}

// Do has the engine carry out a command.
func (n *Node) Do(c any) error {
	if !n.up {
		return fmt.Errorf("sim: node %s is down", n.Name)
	}
	n.w.note("%s do %T", n.Name, c)
	n.w.verify.disturb(n.w)
	err := n.engine.Do(n.now(), c)
	n.drain()
	return n.w.verify.failure(n, err)
}

// State is the engine's; ok is false if the node is down.
func (n *Node) State() (s engine.State, ok bool) {
	if !n.up {
		return s, false
	}
	return n.engine.State(), true
}

func (n *Node) deadline() (time.Time, bool) {
	if !n.up {
		return time.Time{}, false
	}
	t, ok := n.engine.Deadline()
	return t.Add(-n.offset), ok
}

func (n *Node) timeout() {
	before, _ := n.engine.Deadline()
	n.engine.HandleTimeout(n.now())
	n.drain()
	if !n.up {
		return
	}
	if again, ok := n.engine.Deadline(); ok && !again.After(before) && !again.After(n.now()) {
		n.w.violate("%s: the deadline stands still", n.Name)
		n.Crash() // or the world would stand still with it
	}
}

func (n *Node) receive(from *Node, local, remote netip.AddrPort, b []byte) {
	if !n.up {
		return
	}
	n.w.note("%s receive %s from %s", n.Name, describe(b), from.Name)
	n.engine.HandleDatagram(n.now(), local, remote, b)
	n.drain()
}

// listens reports whether multicasts to a group reach the node.
func (n *Node) listens(group netip.AddrPort) bool {
	return n.up && slices.ContainsFunc(n.groups, func(m turn.Membership) bool { return m.Group == group && n.w.at[m.Local] == n })
}

// drain carries out what a turn has said, in its order.
func (n *Node) drain() {
	n.w.turns++
	for n.up {
		o, ok := n.engine.Next()
		if !ok {
			break
		}
		if n.cut == 0 {
			n.cut = -1
			n.Crash()
			return
		}
		if n.cut > 0 {
			n.cut--
		}
		n.carryOut(o)
	}
	if n.up {
		n.w.rearm(n)
		n.w.verify.turn(n)
	}
}

func (n *Node) carryOut(o turn.Output) {
	n.w.verify.output(n, o)
	switch o := o.(type) {
	case turn.Transmit:
		n.w.transmit(n, o)
	case turn.Persist:
		n.w.note("%s persist %s, %d octets", n.Name, o.Key, len(o.Value))
		if o.Value == nil {
			delete(n.records, o.Key)
		} else {
			n.records[o.Key] = slices.Clone(o.Value)
		}
	case turn.Work:
		life, r := n.life, n.compute(o)
		n.w.after(n.w.duration(time.Millisecond, 5*time.Millisecond), func() {
			if n.up && n.life == life {
				n.engine.HandleResult(n.now(), r)
				n.drain()
			}
		})
	case turn.InstallTEK:
		n.w.note("%s install %s %08x", n.Name, o.VPN, o.TEK.SPI)
		if err := n.plane.InstallTEK(o); err != nil {
			n.w.violate("%s: data plane refuses TEK %08x: %v", n.Name, o.TEK.SPI, err)
		}
	case turn.RemoveTEK:
		n.w.note("%s remove %s %08x", n.Name, o.VPN, o.SPI)
		n.plane.RemoveTEK(o)
	case turn.Listen:
		n.w.note("%s listens to %v", n.Name, o.Groups)
		n.groups = o.Groups
	case turn.Notify:
		n.w.note("%s notify %d %s: %s", n.Name, o.Severity, o.Code, o.Text)
	default:
		n.w.violate("%s: output %T is none of a shell's", n.Name, o)
	}
}

// keysPEM holds RSA keys of 2048 bits and a key on P-256 and P-384 each, which protect nothing: a world takes its signature keys
// from them, since a fresh one would be neither quick nor the same twice.
//
//go:embed keys.pem
var keysPEM []byte

var keyPool = readKeys()

func readKeys() map[sa.SigAlg][]turn.KeyPair {
	pool := map[sa.SigAlg][]turn.KeyPair{}
	for rest := keysPEM; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return pool
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			panic("sim: keys.pem: " + err.Error())
		}
		alg := sa.RSA
		if ec, ok := key.(*ecdsa.PrivateKey); ok {
			alg = map[int]sa.SigAlg{256: sa.ECDSA256, 384: sa.ECDSA384}[ec.Params().BitSize]
		}
		public, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
		if err != nil {
			panic("sim: keys.pem: " + err.Error())
		}
		pool[alg] = append(pool[alg], turn.KeyPair{Public: public, Private: block.Bytes})
	}
}

func (n *Node) signatureKey(alg sa.SigAlg) turn.KeyPair {
	pair := keyPool[alg][n.rand.IntN(len(keyPool[alg]))]
	return turn.KeyPair{Public: slices.Clone(pair.Public), Private: pair.Private.Clone()}
}

// compute carries out a Work.
func (n *Node) compute(work turn.Work) turn.Result {
	r := turn.Result{ID: work.ID}
	if n.w.CheapDH {
		if value, ok := cheapDH(work.Op); ok {
			r.Value = value
			return r
		}
	}
	switch op := work.Op.(type) {
	case turn.DHPublic:
		r.Value, r.Err = ike.DHPublic(op.Group, op.Exponent)
	case turn.DHShared:
		var s sa.Secret
		s, r.Err = ike.DHShared(op.Group, op.Exponent, op.Peer)
		r.Value = s
	case turn.DHBoth:
		r.Value, r.Err = ike.DHBoth(op.Group, op.Exponent, op.Peer)
	case turn.SignHash:
		r.Value, r.Err = ike.Sign(op)
	case turn.RSASign, turn.ECDSASign:
		r.Value, r.Err = gdoi.Sign(op)
	case turn.RSAKey:
		r.Value = n.signatureKey(sa.RSA)
	case turn.ECDSAKey:
		r.Value = n.signatureKey(op.Alg)
	default:
		r.Err = fmt.Errorf("sim: no way to compute %T", op)
	}
	if r.Err != nil {
		r.Value = nil
	}
	return r
}
