package node

import (
	"time"

	"gvpn/turn"
)

// call runs f on the loop goroutine at the loop's time, drains the engine, and returns when both are done. It reports false, with f not run,
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

// loop owns the engine and its timer until the node closes. Each message is one turn: hand it in, drain what comes out.
func (n *Node) loop() {
	defer close(n.loopDone)
	defer n.flush()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for turns := 0; ; turns++ {
		if turns >= maxTurns || len(n.datagrams)+len(n.strangers) == 0 {
			turns = 0
			n.flush()
			n.arm(timer)
		}
		select {
		case <-n.closing:
			return
		case f := <-n.calls:
			f(n.now())
		case d := <-n.datagrams:
			n.engine.HandleDatagram(n.now(), d.local, d.remote, d.octets)
		case d := <-n.strangers:
			n.engine.HandleDatagram(n.now(), d.local, d.remote, d.octets)
		case r := <-n.results:
			n.engine.HandleResult(n.now(), r)
		case <-timer.C:
			now := n.now()
			n.sockets.retry(now)
			n.engine.HandleTimeout(now)
		}
		n.drain()
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

// flush gives the writer what turns have put together.
func (n *Node) flush() {
	if len(n.batch) > 0 {
		n.out.submit(n.batch)
		n.batch = nil
	}
}
