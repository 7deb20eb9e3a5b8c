package engine

import (
	"fmt"
	"time"

	"gvpn/cluster"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/server"
	"gvpn/turn"
)

// drain takes the engines' outputs until none has any: outputs of package turn go out, the others to a sibling. One
// engine's outputs are taken in order, and what a sibling makes of one comes after it; so a Persist stands before every
// Transmit that depends on it.
func (e *Engine) drain(now time.Time) {
	for {
		o, ok := e.ike.Next()
		if !ok {
			o, ok = e.server.Next()
		}
		if !ok {
			o, ok = e.cluster.Next()
		}
		if !ok {
			o, ok = e.member.Next()
		}
		if !ok {
			return
		}
		e.route(now, o)
	}
}

// route hands one output on. Every output type of package turn and of the engines has its case; a test counts them.
func (e *Engine) route(now time.Time, output turn.Output) {
	switch o := output.(type) {
	// Out, for the shell.
	case turn.Transmit:
		if o.Local.Port() == ike.NATPort && len(o.Datagram) > 1 { // a keepalive is bare
			o.Datagram = append(nonESP[:len(nonESP):len(nonESP)], o.Datagram...)
			output = o
		}
		e.out = append(e.out, output)
	case turn.Persist, turn.Work, turn.InstallTEK, turn.RemoveTEK, turn.Listen, turn.Notify, turn.KeyLog:
		e.out = append(e.out, output)

	// ike → the engines above.
	case ike.Up:
		e.server.HandleUp(now, o)
		e.cluster.HandleUp(now, o)
		e.member.HandleUp(now, o)
	case ike.Down:
		e.server.HandleDown(now, o)
		e.cluster.HandleDown(now, o)
		e.member.HandleDown(now, o)
	case ike.Moved:
		e.server.HandleMoved(now, o)
	case ike.Dead:
		e.cluster.HandleDead(now, o)
	case ike.Failed:
		e.cluster.HandleFailed(now, o)
		e.member.HandleFailed(now, o)
	case ike.Message:
		switch {
		case o.Exchange.Private():
			e.cluster.HandleMessage(now, o)
		case o.Exchange == isakmp.ExchangePull && o.Initiator:
			e.member.HandleMessage(now, o)
		case o.Exchange == isakmp.ExchangePull:
			e.server.HandleMessage(now, o)
		default:
			e.ike.Do(now, ike.Abort{SA: o.SA, MsgID: o.MsgID})
		}

	// The engines above → ike.
	case ike.Connect, ike.Begin, ike.Reply, ike.Abort, ike.Delete, ike.Created, ike.ClearDPD:
		e.ike.Do(now, o.(ike.Command))

	// server → cluster.
	case server.Distribute:
		e.cluster.Distribute(now, cluster.Distribute(o))
	case server.Adopted:
		e.cluster.Adopted(now, cluster.Adopted(o))
	case server.Fetched:
		e.cluster.Fetched(now, cluster.Fetched(o))
	case server.SoftExpired:
		e.cluster.SoftExpired(now, o.Group)
	case server.HardExpired:
		e.cluster.HardExpired(now, o.Group)
	case server.SenderIDs:
		e.cluster.SenderIDs(now, cluster.SenderIDs(o))

	// cluster → server.
	case cluster.Adopt:
		e.server.Adopt(now, server.Adopt(o))
	case cluster.Fetch:
		e.server.Fetch(now, server.Fetch(o))
	case cluster.RootActive:
		e.server.RootActive(now, o.Group, o.Active)

	default:
		panic(fmt.Sprintf("engine: no route for %T", o))
	}
}
