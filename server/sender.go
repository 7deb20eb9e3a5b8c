package server

import (
	"fmt"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

// Sender IDs (RFC 6407 section 3.5): a member that sends with a cipher whose nonces count gets numbers that no other sender has,
// new ones with every pull. The counter begins at 0 and is written ahead in steps, so that no number goes out before it is on
// disk, nor one twice after a restart. When it is at its end, every SA of the group goes, and it begins anew with new keys.
//
//	         pull: value, and the next        at the end
//	0 ------------------------------> n ---------------------> delete all, new keys: 0

const (
	defaultSenderBits = 16
	maxSenderIDs      = 8           // for one pull, whatever it asks for
	senderResetPause  = time.Minute // between two beginnings: a group with more members than IDs must not go round and round
)

// senderIDs is a group's counter.
type senderIDs struct {
	bits    int       // 0: none were given since the keys were made
	next    uint32    // the next one
	written uint32    // those below are on disk as given
	reset   time.Time // the last beginning anew; on disk, since a server that restarts again and again must keep the pause too
}

// space is how many there are.
func (i *senderIDs) space() uint32 { return 1 << i.bits }

// take gives n numbers, nil if there are not so many left. It reports whether the record must be written.
func (i *senderIDs) take(n uint32) (values []uint32, dirty bool) {
	if i.next+n > i.space() {
		return nil, false
	}
	for range n {
		values = append(values, i.next)
		i.next++
	}
	if i.next > i.written {
		i.written, dirty = min(i.next+i.space()/256, i.space()), true
	}
	return values, dirty
}

func senderBits(g *step.Group) int {
	if g.SenderIDBits == 0 {
		return defaultSenderBits
	}
	return g.SenderIDBits
}

// counts reports whether g has, or is about to have, a TEK whose nonces count.
func (g *group) counts() bool {
	return slices.ContainsFunc(g.teks, func(t sa.TEK) bool { return t.Counts() }) ||
		slices.ContainsFunc(g.conf.SAs, func(x step.IPsecSA) bool { t := blankTEK(&x); return t.Counts() })
}

// giveSenderIDs is for one pull that asks for so many (0: one, as for everybody). It is nil, with the reason, if there are none.
func (s *Server) giveSenderIDs(now time.Time, g *group, asked int) (*gdoi.SenderIDs, string) {
	if g.senders.bits == 0 {
		g.senders = senderIDs{bits: senderBits(&g.conf), reset: g.senders.reset}
	}
	values, dirty := g.senders.take(uint32(min(max(asked, 1), maxSenderIDs)))
	if values == nil {
		if now.Before(g.senders.reset.Add(senderResetPause)) {
			return nil, "the sender IDs are used up again already"
		}
		s.notify(turn.Notice, "GKSD_SENDER_IDS_USED_UP", fmt.Sprintf("group %s: all %d sender IDs are used up: every SA is deleted, and the group begins anew", g.name, g.senders.space()))
		g.senders.reset = now
		s.renew(now, g, false)
		return nil, "the sender IDs are used up: the group begins anew"
	}
	if dirty {
		s.dirty[g] = true
	}
	return &gdoi.SenderIDs{Bits: g.senders.bits, Values: values}, ""
}
