package ike

import (
	"net/netip"
	"time"

	"gvpn/isakmp"
)

// SAID names a phase-1 SA at this endpoint. It is never zero and never used again.
type SAID uint64

// Reasons of a Down that upper engines act on; all others are for people.
const (
	DeletedByUs   = "deleted"             // a Delete command or a gateway that is gone
	DeletedByPeer = "deleted by the peer" // the peer's Informational Delete
)

// The commands. They are turn.Outputs too, since the engines above emit them and package engine hands them to Do.
type (
	// Connect asks for a phase-1 SA with an address of a gateway. If one is up, Up is emitted again; if a negotiation of
	// ours is under way, nothing happens; else main mode starts. An SA on which an exchange of ours went unanswered
	// does not count as up, since the peer may have forgotten it; once there is a new one it goes. The answer is Up or Failed with
	// SA 0.
	Connect struct {
		Gateway string
		Remote  netip.Addr
	}

	// Begin starts an exchange (32 or 240..255) under an SA: Payloads is the chain that follows HASH in message 1, First the
	// type of its first payload; it is the endpoint's, which clears it. Token comes back in every Message and in Failed.
	//
	// Message 1 and later ones are sent Tries times; after the last, the endpoint waits once more before Failed. With Every
	// zero the waits are those of Options.Retransmit and Tries is at most their number (0: all of them). With Every set, it
	// is the wait (rule C5), and Tries < 0 is no limit; nor has one that goes on while the SA is closing, under which the
	// engine can begin nothing in its place (T14).
	//
	// Messages is how many the exchange has. If the last of them is the peer's the exchange is over when it has come, and counts
	// no more; with 0 the one who began it says so, by Reply or Abort.
	Begin struct {
		SA       SAID
		Exchange isakmp.ExchangeType
		Token    uint64
		First    isakmp.PayloadType
		Payloads []byte
		Messages int
		Every    time.Duration
		Tries    int
	}

	// Reply sends the next message of an exchange whose last message was the peer's. Last says that no answer is expected:
	// the exchange is over, but for repeating this message when the peer repeats its own. Payloads is as Begin's.
	Reply struct {
		SA       SAID
		MsgID    uint32
		First    isakmp.PayloadType
		Payloads []byte
		Last     bool
	}

	// Abort forgets an exchange: by its message ID, or an exchange of ours by Token if MsgID is 0. No Failed follows.
	Abort struct {
		SA    SAID
		MsgID uint32
		Token uint64
	}

	// Delete takes away every SA of a gateway, or those with one Remote if it is valid: Informational Delete to the peer,
	// Down, and closing first where exchanges of ours are unanswered. Negotiations are dropped. DPD of a gateway whose
	// SAs are all deleted stops until one is up again.
	Delete struct {
		Gateway string
		Remote  netip.Addr
	}

	// ClearDPD sets the DPDCounters of a gateway to zero.
	ClearDPD struct{ Gateway string }

	// Created says that a pull under a phase-1 SA brought so many TEKs. It is for SAState alone.
	Created struct {
		SA   SAID
		TEKs int
	}
)

// The outputs for the engines above.
type (
	// Up says that a phase-1 SA is up, its peer authenticated as Gateway's.
	Up struct {
		SA            SAID
		Gateway       string
		Local, Remote netip.AddrPort
		Initiator     bool
	}

	// Down says that an SA is gone or closing: no Begin on it any more.
	Down struct {
		SA      SAID
		Gateway string
		Remote  netip.AddrPort
		Reason  string
	}

	// Moved says that a peer behind a NAT is at another port now, by a message that was verified.
	Moved struct {
		SA       SAID
		Gateway  string
		From, To netip.AddrPort
	}

	// Dead is the verdict of DPD (D3). It comes after the Down of each of the gateway's SAs; DPD has stopped.
	Dead struct{ Gateway string }

	// Message is a verified message of an exchange, number 1 to 16 in it. Payloads is the chain that follows HASH, without
	// padding, owned by the receiver. Token is Begin's for exchanges of ours (Initiator) and 0 for others.
	Message struct {
		SA            SAID
		Gateway       string
		Local, Remote netip.AddrPort
		Exchange      isakmp.ExchangeType
		MsgID         uint32
		Token         uint64
		Initiator     bool
		Number        int
		First         isakmp.PayloadType
		Payloads      []byte
	}

	// Failed says that what we began came to nothing: a negotiation (SA 0, Token 0) or an exchange.
	Failed struct {
		Gateway string
		Remote  netip.Addr
		SA      SAID
		Token   uint64
		Reason  string
	}
)

// Command is one of Connect, Begin, Reply, Abort, Delete, Created and ClearDPD.
type Command interface {
	IsOutput()
	isCommand()
}

func (Connect) isCommand()  {}
func (Begin) isCommand()    {}
func (Reply) isCommand()    {}
func (Abort) isCommand()    {}
func (Delete) isCommand()   {}
func (ClearDPD) isCommand() {}
func (Created) isCommand()  {}

// IsOutput implements turn.Output.
func (Connect) IsOutput() {}

// IsOutput implements turn.Output.
func (Begin) IsOutput() {}

// IsOutput implements turn.Output.
func (Reply) IsOutput() {}

// IsOutput implements turn.Output.
func (Abort) IsOutput() {}

// IsOutput implements turn.Output.
func (Delete) IsOutput() {}

// IsOutput implements turn.Output.
func (ClearDPD) IsOutput() {}

// IsOutput implements turn.Output.
func (Created) IsOutput() {}

// IsOutput implements turn.Output.
func (Up) IsOutput() {}

// IsOutput implements turn.Output.
func (Down) IsOutput() {}

// IsOutput implements turn.Output.
func (Moved) IsOutput() {}

// IsOutput implements turn.Output.
func (Dead) IsOutput() {}

// IsOutput implements turn.Output.
func (Message) IsOutput() {}

// IsOutput implements turn.Output.
func (Failed) IsOutput() {}
