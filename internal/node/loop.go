package node

import (
	"time"

	"gvpn/turn"
)

// call runs f on the loop goroutine at the loop's time and returns when f has; what the engine then has to say follows. It reports false, with f not run,
// once the node is closing.
func (n *Node) call(f func(now time.Time)) bool {
	done := make(chan struct{})
	select {
	case n.calls <- func(now time.Time) { f(now); close(done) }:
	case <-n.closing:
		return false
	}
	select {
	case <-done:
		return true
	case <-n.loopDone:
		return false
	}
}

// maxTurns is how many turns share a batch for the writer, and with it a transaction, while datagrams are at hand: enough that the
// transaction costs each of them little, and no more than is worked off in about a millisecond.
const maxTurns = 32

// maxAhead is how many datagrams of cluster peers in a row go before everything else. Anybody can send in a peer's name, and must not
// be able to stop the node with it.
const maxAhead = 16

// maxLine is how many outputs may wait to leave before members' datagrams wait too. It has room for a push to all members and more:
// while that leaves, their acknowledgements come.
const maxLine = 1 << 15

// loop owns the engine and its timer until the node closes. Each message is one turn: hand it in, drain what comes out.
func (n *Node) loop() {
	defer close(n.loopDone)
	defer n.flush(false)
	timer := time.NewTimer(0)
	defer timer.Stop()
	ahead, urgent := 0, false // datagrams of peers in a row; the batch has an answer to one
	take := func(d datagram) {
		n.engine.HandleDatagram(n.now(), d.local, d.remote, d.octets)
		n.drain()
	}
	takeFirst := func(d datagram) {
		before := len(n.batch)
		take(d)
		urgent = urgent || len(n.batch) > before // of what is thrown away nobody is to be hurried by
	}
	for turns := 0; ; turns++ {
		// Who makes the writer say more than it can waits; all else goes on.
		members, strangers, room := n.datagrams, n.strangers, (chan struct{})(nil)
		if records, line := n.out.backlog(), n.departures.backlog(); records > maxWaiting || line > maxWaiting {
			strangers, room = nil, n.departures.room
			if records > maxWaiting || line > maxLine {
				members = nil
			}
		}
		if urgent || turns >= maxTurns || len(members)+len(strangers) == 0 {
			n.flush(urgent)
			n.arm(timer)
			turns, urgent = 0, false
		}
		if ahead < maxAhead {
			select {
			case d := <-n.peers:
				takeFirst(d)
				ahead++
				continue
			default:
			}
		}
		ahead = 0
		select {
		case <-n.closing:
			return
		case f := <-n.calls:
			f(n.now())
			n.drain()
		case d := <-n.peers:
			takeFirst(d)
		case d := <-members:
			take(d)
		case d := <-strangers:
			take(d)
		case r := <-n.results:
			n.engine.HandleResult(n.now(), r)
			n.drain()
		case <-room:
		case <-timer.C:
			now := n.now()
			n.sockets.retry(now)
			n.engine.HandleTimeout(now)
			n.drain()
		}
	}
}

// arm sets the timer to the engine's deadline, and no later than the next try of a socket that could not be bound.
func (n *Node) arm(timer *time.Timer) {
	deadline, ok := n.engine.Deadline()
	if again, unbound := n.sockets.deadline(); unbound && (!ok || again.Before(deadline)) {
		deadline, ok = again, true
	}
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(max(deadline.Sub(n.now()), 0))
}

// drain takes the turn's outputs. Work goes to the workers at once; the data plane is changed here, where it is owned;
// what must keep its order (Persist before Transmit) is put together for the writer.
func (n *Node) drain() {
	for {
		out, ok := n.engine.Next()
		if !ok {
			break
		}
		switch o := out.(type) {
		case turn.Work:
			n.work.submit(o)
		case turn.InstallTEK:
			if err := n.plane.InstallTEK(o); err != nil {
				n.log.Error("the data plane refuses a TEK", "vpn", o.VPN, "error", err.Error())
			}
		case turn.RemoveTEK:
			n.plane.RemoveTEK(o)
		case turn.Listen:
			n.sockets.listen(n.now(), o.Groups)
		case turn.KeyLog:
			if err := writeKey(n.keyLog, o); err != nil {
				n.log.Error("a key is missing from the key log", "error", err.Error())
			}
		default:
			n.batch = append(n.batch, out)
		}
	}
}

// flush gives the writer what turns have put together; urgent if an answer to a cluster peer is in it.
func (n *Node) flush(urgent bool) {
	if len(n.batch) > 0 {
		n.out.submit(n.batch, urgent)
		n.batch = nil
	}
}
