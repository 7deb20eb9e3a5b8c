package server

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

// Sender IDs (RFC 6407 section 3.5): a member that sends with a cipher whose nonces count gets numbers that no other sender has,
// new ones with every pull. A run of them begins at 0 with new keys and has an epoch, drawn at random. Each server owns one range
// of the run, and gives from its beginning: a standalone or root server begins with all of it. From there a root lends its
// sub-servers a block each, and another one when that is low; what is lent never comes back.
//
//	            pull: value, and the next
//	            cluster-init: a block for a sub-server       none left
//	beginning -----------------------------------------> end ---------> delete all, new keys: another epoch
//	                                                      \ few left, and a sub-server's: ask for a block
//
// A range may be given from with keys of its epoch alone. So every Update says of which its keys are; a sub-server that hears of
// another one has its members forget all that they have, numbers too, before they get any of the new keys.
//
// A range is written ahead in steps: no number goes out, and no block, before it is on disk as given, and so none twice after a
// restart. Records that are put back from a backup break this: a root finds out only by a sub-server that has a block which they
// do not know as lent.

const (
	defaultSenderBits = 16
	maxSenderIDs      = 8           // for one pull, whatever it asks for
	senderResetPause  = time.Minute // between two beginnings: a group with more members than IDs must not go round and round

	// blocksOfRun is how many blocks a run has: enough for five servers to take several, and each large enough to be asked for
	// seldom: 16 numbers of 8 bits, 4096 of 16.
	blocksOfRun = 16
	// serversOfRun is how many servers share a cluster's run: a root-server and Junos's four sub-servers. A member may come to any
	// of them, so each must have numbers for all.
	serversOfRun = 5
	// lowOfBlock is the part of a block that is kept for the pulls that come before the next block does. It is lost then.
	lowOfBlock = 8
	// senderAskPause is between two questions for a block that pulls make necessary.
	senderAskPause = 5 * time.Second
	// A sub-server that has lost its block gets another at once, and then after lostBlockPause, twice as long with each that it loses
	// up to lostBlockLimit: one that starts without its records again and again takes 7 blocks in an hour, and one an hour from then on.
	lostBlockPause = time.Minute
	lostBlockLimit = time.Hour
)

// senderIDs is a server's range of a group's run.
type senderIDs struct {
	epoch   uint64 // 0: there is no run
	bits    int
	next    uint32          // the next one to give
	end     uint32          // the first one that is not ours
	written uint32          // those below are on disk as given
	reset   time.Time       // the last beginning anew; on disk, since a server that restarts again and again must keep the pause too
	asked   time.Time       // sub-server: for another block
	lent    map[string]loan // root: the last block of each sub-server, by gateway
}

// loan is a block that a sub-server has, or had.
type loan struct {
	end  uint32
	at   time.Time
	wait time.Duration // after at, if the block is lost
}

func (i *senderIDs) left() uint32  { return i.end - i.next }
func (i *senderIDs) block() uint32 { return 1 << i.bits / blocksOfRun }
func (i *senderIDs) low() uint32   { return i.block() / lowOfBlock }

// recorded is the range as the record has it. Those between next and written count as given.
func (i *senderIDs) recorded() sa.Senders {
	return sa.Senders{Epoch: i.epoch, Bits: i.bits, First: i.written, Count: i.end - i.written}
}

// own makes a range, all of it not given, the server's.
func (i *senderIDs) own(r sa.Senders) {
	i.epoch, i.bits = r.Epoch, r.Bits
	i.next, i.written, i.end = r.First, r.First, r.End()
}

// take gives n numbers, or the last ones if there are fewer: those from first on. It reports whether the record must be written.
func (i *senderIDs) take(n uint32) (first, taken uint32, dirty bool) {
	first, taken = i.next, min(n, i.left())
	i.next += taken
	if i.next > i.written {
		i.written, dirty = min(i.next+1<<i.bits/256, i.end), true
	}
	return first, taken, dirty
}

func senderBits(g *step.Group) int {
	if g.SenderIDBits == 0 {
		return defaultSenderBits
	}
	return g.SenderIDBits
}

// counts reports whether g has, or is about to have, a TEK whose nonces count. On a sub-server its root says so, by the epoch.
func (g *group) counts() bool {
	if g.conf.Role == step.SubServer && g.senders.epoch == 0 {
		return false
	}
	return slices.ContainsFunc(g.teks, func(t sa.TEK) bool { return t.Counts() }) ||
		slices.ContainsFunc(g.conf.SAs, func(x step.IPsecSA) bool { t := blankTEK(&x); return t.Counts() })
}

// beginSenders begins a run, if none is under way. A sub-server's is its root's.
func (s *Server) beginSenders(g *group) {
	if g.senders.epoch != 0 || g.conf.Role == step.SubServer {
		return
	}
	bits := senderBits(&g.conf)
	g.senders.own(sa.Senders{Epoch: s.drawEpoch(), Bits: bits, Count: 1 << bits})
	s.dirty[g] = true
}

func (s *Server) drawEpoch() (epoch uint64) {
	for epoch == 0 {
		epoch = binary.BigEndian.Uint64(s.draw(8))
	}
	return epoch
}

// ownSaved takes over a range from disk. Records of before runs had an epoch are of a server by itself: no other one knows of the run,
// so that it can get one now.
func (s *Server) ownSaved(g *group, r sa.Senders) {
	if r.Epoch == 0 && r.Bits > 0 {
		r.Epoch = s.drawEpoch()
	}
	g.senders.own(r)
}

// giveSenderIDs is for one pull that asks for so many (0: one, as for everybody). It is nil, with the reason, if there are none.
func (s *Server) giveSenderIDs(now time.Time, g *group, asked int) (*gdoi.SenderIDs, string) {
	s.beginSenders(g)
	first, n, dirty := g.senders.take(uint32(min(max(asked, 1), maxSenderIDs)))
	if n == 0 {
		if !s.renewSenders(now, g) {
			return nil, "the sender IDs are used up again already"
		}
		return nil, "the sender IDs are used up: the group begins anew"
	}
	if dirty {
		s.dirty[g] = true
	}
	ids := &gdoi.SenderIDs{Bits: g.senders.bits}
	for v := range n {
		ids.Values = append(ids.Values, first+v)
	}
	return ids, ""
}

// renewSenders begins a group anew whose server has no number left. It reports false if it was done just now.
func (s *Server) renewSenders(now time.Time, g *group) bool {
	if now.Before(g.senders.reset.Add(senderResetPause)) {
		return false
	}
	s.notify(turn.Notice, "GKSD_SENDER_IDS_USED_UP", fmt.Sprintf("group %s: no sender ID of %d bits is left: every SA is deleted, and the group begins anew", g.name, g.senders.bits))
	g.senders.reset = now
	s.renew(now, g, false)
	return true
}

// lend is what a root tells a sub-server of sender IDs: the epoch, and a block if it needs one and may have one.
func (s *Server) lend(now time.Time, g *group, f Fetch) sa.Senders {
	if i := &g.senders; f.Has.Epoch == i.epoch && f.Has.End() > i.next && f.Has.End() <= i.end {
		s.notify(turn.Error, "GKSD_SENDER_IDS_OLD_RECORDS", fmt.Sprintf("group %s: sub-server %s has sender IDs that the records here do not know as lent, so that they are old ones: every SA is deleted, and the group begins anew", g.name, f.Peer))
		s.renew(now, g, false)
	}
	if !g.senders.lacks(f.Has) {
		return g.senders.run()
	}
	if !g.senders.lendable(now, f) {
		s.complain(now, "GKSD_SENDER_IDS_LOST", fmt.Sprintf("group %s: sub-server %s has lost the sender IDs that it was lent, and has to wait for others", g.name, f.Peer))
		return g.senders.run()
	}
	if g.senders.left() == 0 && !s.renewSenders(now, g) {
		return g.senders.run()
	}
	first, n, dirty := g.senders.take(g.senders.block())
	if dirty {
		s.dirty[g] = true
	}
	g.senders.note(now, f, first+n)
	told := g.senders.run()
	told.First, told.Count = first, n
	return told
}

// run is the epoch and the length of the numbers, without any.
func (i *senderIDs) run() sa.Senders { return sa.Senders{Epoch: i.epoch, Bits: i.bits} }

// lacks reports whether a sub-server that has this needs a block.
func (i *senderIDs) lacks(has sa.Senders) bool {
	return i.epoch != 0 && (has.Epoch != i.epoch || has.Count <= i.low())
}

// lost reports whether a sub-server does not have, used up or not, the block that it was lent last.
func (i *senderIDs) lost(f Fetch) bool {
	l, had := i.lent[f.Peer]
	return had && (f.Has.Epoch != i.epoch || f.Has.End() != l.end)
}

// lendable reports whether a sub-server may have a block now.
func (i *senderIDs) lendable(now time.Time, f Fetch) bool {
	l := i.lent[f.Peer]
	return !i.lost(f) || !now.Before(l.at.Add(l.wait))
}

// note takes note of a block that a sub-server is lent.
func (i *senderIDs) note(now time.Time, f Fetch, end uint32) {
	l := loan{end: end, at: now}
	if i.lost(f) {
		l.wait = min(max(2*i.lent[f.Peer].wait, lostBlockPause), lostBlockLimit)
	}
	if i.lent == nil {
		i.lent = make(map[string]loan)
	}
	i.lent[f.Peer] = l
}

// adopt takes over what a root said of sender IDs: another epoch, another block, or both. The block that there is stays as it is.
func (i *senderIDs) adopt(r sa.Senders) {
	if r.Epoch != i.epoch || r.Count > 0 && r.End() != i.end {
		i.own(r)
	}
}

// ended reports whether an Update's keys are of another epoch than those here: a member that has numbers of this one must not
// get any of them.
func (g *group) ended(u *sa.Update) bool {
	return g.senders.epoch != 0 && u.Senders.Epoch != g.senders.epoch && (g.kek != nil || len(g.teks) > 0)
}

// wantSenders has a sub-server ask its root for a block if its own is low. What pulls need is not asked for more often than
// senderAskPause.
func (s *Server) wantSenders(now time.Time, g *group) {
	i, has := &g.senders, g.senders.recorded()
	if g.conf.Role != step.SubServer || !g.counts() || has.Count > i.low() || now.Before(i.asked.Add(senderAskPause)) {
		return
	}
	i.asked = now
	s.emit(SenderIDs{Group: g.name, Has: has, Low: true})
}

// tellSenders tells the cluster engine what the record that is being written says of sender IDs. It comes ahead of that record: the
// Adopted behind the records may have the cluster engine ask its root, and it must not ask with what was there before. Nothing is
// sent for a SenderIDs without Low, so that nothing gets out before the record is on disk.
func (s *Server) tellSenders(g *group) {
	if has := g.senders.recorded(); g.conf.Role == step.SubServer && has != g.held {
		g.held = has
		s.out = append(s.out, SenderIDs{Group: g.name, Has: has})
	}
}
