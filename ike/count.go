package ike

import (
	"maps"

	"gvpn/isakmp"
)

// drop is why a datagram or a call was ignored; it names a counter. What does not parse is counted under the name of its
// isakmp.Kind, with "malformed-" in front.
type drop string

const (
	dropExchange  drop = "unsupported-exchange"
	dropAggro     drop = "aggressive-mode"
	dropSize      drop = "too-large-before-authentication"
	dropCookies   drop = "unknown-cookies"
	dropReflected drop = "reflected"
	dropAddress   drop = "wrong-address"
	dropFlags     drop = "wrong-flags"
	dropClear     drop = "unencrypted"
	dropMessageID drop = "wrong-message-id"
	dropState     drop = "unexpected-message"
	dropRepeated  drop = "repeated"
	dropReplayed  drop = "replayed"
	dropGateway   drop = "no-gateway"
	dropInitiate  drop = "gateway-does-not-respond"
	dropProposal  drop = "no-proposal-chosen"
	dropForeign   drop = "transform-not-offered"
	dropPublic    drop = "bad-public-value"
	dropHash      drop = "hash-mismatch"
	dropBlocks    drop = "not-whole-blocks"
	dropIdentity  drop = "identity-mismatch"
	dropHalfOpen  drop = "half-open-limit"
	dropLate      drop = "half-open-late"
	dropExchanges drop = "exchange-limit"
	dropSequence  drop = "dpd-sequence"
	dropReply     drop = "reply-without-turn"

	tallySilent    drop = "notices-left-out"
	tallyUnrefused drop = "refusals-left-out"
	tallyEvicted   drop = "half-open-evicted"
	tallyExpired   drop = "half-open-expired"
	tallyInitiated drop = "negotiations-begun"
	tallyAnswered  drop = "negotiations-answered"
	tallyUp        drop = "established"
	tallyFailed    drop = "negotiations-failed"
	tallyResent    drop = "retransmissions"
	tallyDeleted   drop = "deleted-by-peer"
	tallyMoved     drop = "peers-moved"
	tallyReplaced  drop = "replaced-after-restart"
	tallyRenewed   drop = "renewals-begun"
	tallyDead      drop = "dead-peers"
)

// counters by name. Their number is bounded: names are the constants above and the kinds of package isakmp.
type counters map[string]uint64

func (c counters) all() map[string]uint64 { return maps.Clone(c) }

func (e *Endpoint) tally(d drop) { e.count[string(d)]++ }

// refuse counts what does not parse.
func (e *Endpoint) refuse(err error) { e.count["malformed-"+isakmp.KindOf(err).String()]++ }
