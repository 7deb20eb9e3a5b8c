package node

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"gvpn/cli"
	"gvpn/cluster"
	"gvpn/commit"
	"gvpn/commit/step"
	"gvpn/dataplane"
	"gvpn/engine"
	"gvpn/ike"
	"gvpn/internal/auth"
	"gvpn/internal/store"
	"gvpn/member"
	"gvpn/turn"
)

// ControlSocket is the name of the control socket in the state directory.
const ControlSocket = "gvpnd.sock"

// Options is what a node is made from.
type Options struct {
	Dir    string // the state directory; made if absent
	File   string // name of the initial configuration, for its errors
	Config []byte // the initial configuration, curly or set; loaded where Dir holds none yet. nil: start empty
	Port   uint16 // GDOI's UDP port, here and at the peers
	Lab    cli.Lab
	Log    *slog.Logger // nil: nothing is logged
	Now    func() time.Time
	Rand   io.Reader

	// KeyLog is where the cipher key of every phase-1 SA is written in clear, for whoever reads recorded traffic. nil: nowhere.
	KeyLog io.Writer

	// MaxSubServers is cluster.Options', for labs. What was committed under a higher one stays.
	MaxSubServers int
}

// Node is one running node. Its methods may be called from any goroutine.
type Node struct {
	dir   string
	log   *slog.Logger
	now   func() time.Time
	store *store.Store
	lab   cli.Lab

	// Owned by the loop.
	keyLog    io.Writer
	engine    *engine.Engine
	batch     []turn.Output // for the writer
	plane     *dataplane.Plane
	preferred preferred          // nobody writes to it any more
	locals    map[netip.Addr]int // how many gateways have this local-address; invalid: any

	calls     chan func(time.Time)
	peers     chan datagram // of cluster peers that have an SA: the loop takes them first
	datagrams chan datagram
	strangers chan datagram // what begins a phase 1, which anybody can send
	results   chan turn.Result
	closing   chan struct{}
	loopDone  chan struct{}

	sockets *sockets
	out     *writer
	work    *pool
	outStop chan struct{}

	departures *departures // what out has recorded

	manage   sync.Mutex // guards db, and with it everything of package commit
	db       *commit.DB
	rollback *time.Timer // of db's deadline; guarded by manage
	active   activeFile
	editors  cli.Editors
	services *services

	closeOnce sync.Once
	closeErr  error
	failOnce  sync.Once
	failed    chan struct{}
	err       error // why the node failed; read after failed is closed
}

// backlog is how many datagrams may wait for the loop before the readers wait, and the kernel drops: a flood costs no memory. First
// messages of phase 1 wait apart, so that a flood of them keeps nobody waiting who has an SA.
const backlog = 256

// Open starts a node: it restores the engines' records, carries out what of the running configuration they have not
// carried out yet, and only then listens. A configuration error in Options.Config is a config.Errors, and nothing has
// been started or recorded.
func Open(o Options) (_ *Node, err error) {
	n := &Node{
		dir: o.Dir, log: o.Log, now: o.Now, lab: o.Lab, keyLog: o.KeyLog,
		locals:    map[netip.Addr]int{},
		calls:     make(chan func(time.Time)),
		peers:     make(chan datagram, backlog),
		datagrams: make(chan datagram, backlog),
		strangers: make(chan datagram, backlog),
		results:   make(chan turn.Result),
		closing:   make(chan struct{}),
		loopDone:  make(chan struct{}),
		outStop:   make(chan struct{}),
		failed:    make(chan struct{}),
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.now == nil {
		n.now = time.Now
	}
	dice := o.Rand
	if dice == nil {
		dice = rand.Reader
	}
	if n.keyLog != nil {
		n.log.Error("KEY LOG: the keys of every IKE SA are written down in clear. Whoever reads them reads all that is said, group keys among it")
	}
	if n.store, err = store.Open(o.Dir); err != nil {
		return nil, err
	}
	n.active = activeFile{
		write: n.store.WriteActive, delay: activeDelay,
		failed: func(err error) { n.log.Error("what runs is safe, but not readable as a file", "error", err.Error()) },
	}
	records, err := n.store.Load("")
	if err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	n.plane = dataplane.New(dice)
	n.engine = engine.New(dice, engine.Options{
		IKE:     ike.Options{Port: o.Port, KeyLog: o.KeyLog != nil},
		Cluster: cluster.Options{MaxSubServers: o.MaxSubServers},
	})
	if err := n.engine.Restore(n.now(), records); err != nil {
		n.log.Error("some records of the engines could not be read; going on without them", "error", err.Error())
	}
	n.sockets = &sockets{
		port: o.Port, log: n.log, conns: map[netip.AddrPort]trio{}, failed: map[netip.AddrPort]string{},
		receive: func(d datagram, from source) {
			to := n.datagrams
			switch from {
			case fromStranger:
				to = n.strangers
			case fromPeer:
				to = n.peers
			}
			select {
			case to <- d:
			case <-n.closing:
			}
		},
	}
	n.work = newPool(runtime.GOMAXPROCS(0), func(r turn.Result) {
		select {
		case n.results <- r:
		case <-n.closing:
			wipeValue(r.Value)
		}
	})
	n.departures = newDepartures(n.sockets.send, func(o turn.Notify) { logNotify(n.log, o) })
	n.out = newWriter(n.store.Put, n.fail, n.departures)
	go n.departures.run()
	go n.out.run(n.outStop)
	go n.loop()
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := n.openConfiguration(o); err != nil {
		return nil, err
	}
	n.services = newServices(n)
	if err := n.services.control(); err != nil {
		return nil, err
	}
	return n, n.Manage(func(db *commit.DB) error {
		n.active.follow(db)
		n.services.configure(db.Effective())
		return nil
	})
}

// Prepare implements commit.Applier.
func (n *Node) Prepare(p *step.Plan) error {
	err := errClosing
	n.call(func(time.Time) { err = n.engine.Prepare(p) })
	errs := []error{err}
	for _, c := range p.VPNs {
		if c.New != nil {
			errs = append(errs, dataplane.CheckVPN(*c.New))
		}
	}
	for _, c := range p.Gateways {
		if g := c.New; g != nil && g.Instance != "" && g.Instance != "default" {
			errs = append(errs, &step.Refusal{
				Gateway: g.Name, Side: g.Side, Statement: []string{"routing-instance"},
				Reason: "instance " + g.Instance + " is not yet supported, only the default one is",
			})
		}
	}
	return errors.Join(errs...)
}

var errClosing = errors.New("node: closing")

// Apply implements commit.Applier: sockets first, so that the engines' first datagrams have one to leave from; the data
// plane's policies before the engines change keys (row 3.5: no packet in the clear in between), and its gone VPNs last.
func (n *Node) Apply(p *step.Plan) {
	n.call(func(now time.Time) {
		for _, c := range p.Gateways {
			if c.New != nil {
				n.locals[c.New.Local]++
			}
			if c.Old == nil {
				continue
			}
			if n.locals[c.Old.Local]--; n.locals[c.Old.Local] <= 0 {
				delete(n.locals, c.Old.Local)
			}
		}
		for _, c := range p.VPNs {
			if c.New != nil {
				n.plane.SetVPN(*c.New)
			}
		}
		n.sockets.bind(now, n.sockets.at(wanted(slices.Collect(maps.Keys(n.locals)))))
		n.engine.Apply(now, p)
		n.drain()
		if len(p.Groups)+len(p.Gateways) > 0 {
			n.prefer()
		}
		for _, c := range p.VPNs {
			if c.New == nil {
				n.plane.RemoveVPN(c.Old.Name)
			}
		}
	})
}

// prefer lets the datagrams of cluster peers, and those to them, go first.
func (n *Node) prefer() {
	peers := preferred{}
	for _, a := range n.engine.Peers() {
		peers[a] = true
	}
	if !maps.Equal(peers, n.preferred) {
		n.preferred = peers
		n.batch = append(n.batch, peers)
		n.sockets.prefer(peers)
	}
}

// Engine returns a copy of the engines' state.
func (n *Node) Engine() engine.State {
	var st engine.State
	n.call(func(time.Time) { st = n.engine.State() })
	return st
}

// Outbound gives the data plane a packet from the LAN. It returns what goes to the WAN, nil if nothing, and why.
func (n *Node) Outbound(packet []byte) (onWire []byte, v dataplane.Verdict) {
	n.call(func(now time.Time) {
		onWire, v = n.plane.Outbound(now, packet, nil)
		for _, name := range n.plane.Low() {
			if err := n.engine.Do(now, member.SendersLow{VPN: name}); err != nil {
				n.log.Error("another sender ID", "vpn", name, "error", err.Error())
			}
		}
	})
	return onWire, v
}

// Inbound gives the data plane a packet from the WAN. It returns what goes to the LAN, nil if nothing, and why. ESP that no
// TEK is for sets off the recovery probe of VPNs that have one; anybody can send such ESP, and the member engine waits
// longer from probe to probe.
func (n *Node) Inbound(packet []byte) (arrived []byte, v dataplane.Verdict) {
	n.call(func(now time.Time) {
		if arrived, v = n.plane.Inbound(now, packet, nil); v == dataplane.DropSPI {
			if err := n.engine.Do(now, member.Recover{}); err != nil {
				n.log.Error("recovery probe", "error", err.Error())
			}
		}
	})
	return arrived, v
}

// Failed is closed when the node can no longer keep its promises (the disk refuses records); Err says why. The engines
// go on turning, but nothing is sent any more but what was recorded before.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// Err returns why the node failed, nil while it has not.
func (n *Node) Err() error {
	select {
	case <-n.failed:
		return n.err
	default:
		return nil
	}
}

func (n *Node) fail(err error) {
	n.failOnce.Do(func() {
		n.err = err
		n.log.Error("the node has failed: it records nothing more, and sends nothing that was not recorded before", "error", err.Error())
		close(n.failed)
	})
}

// Close ends every goroutine of the node, sessions included. What was acknowledged is on disk.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		if n.services != nil {
			n.closeErr = n.services.close()
		}
		close(n.closing)
		<-n.loopDone
		n.manage.Lock() // a rollback that is under way ends; no other begins
		if n.rollback != nil {
			n.rollback.Stop()
		}
		n.manage.Unlock()
		n.active.close()
		n.work.close()
		close(n.outStop)
		<-n.out.done
		<-n.departures.done
		n.sockets.close()
		n.closeErr = errors.Join(n.closeErr, n.store.Close())
	})
	return n.closeErr
}

// Shell returns a session without a terminal on this node; in gives its Script commands, and out takes output and errors.
func (n *Node) Shell(id auth.Identity, in io.Reader, out io.Writer) *cli.Shell {
	return cli.New(cli.Config{Backend: n, Identity: id, In: in, Out: out, Now: n.now})
}
