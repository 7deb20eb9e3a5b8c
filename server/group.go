package server

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

// group is one group with its keys and members.
type group struct {
	name     string
	conf     step.Group
	gateways []string   // conf's members, sorted
	before   step.Group // before the plan in hand: its role picks the tables' column, its policies are T5's "old configuration"

	added     bool // by the plan in hand
	restored  bool // added, and with keys from disk
	gone      bool // deleted by the plan in hand
	forgotten bool

	// The signature key. On a sub-server it is empty: its root's comes in the KEK.
	sig      turn.KeyPair
	sigAlg   sa.SigAlg // what sig is for
	sigWork  uint64    // the Work that makes one, 0 for none,
	sigAsked sa.SigAlg // for this
	sigRetry time.Time
	want     bool // a KEK as soon as there is a signature key,
	wantSubs bool // and tell the sub-servers

	kek *sa.KEK
	// old is the KEK that members still hold while they have not been told of kek: it carries the pushes until then.
	old *sa.KEK
	// How pushes under kek are repeated: as configured when it was made (row 1.9).
	period  time.Duration
	retries int

	teks    []sa.TEK      // the last of a name is its current one
	version uint64        // sa.Update.Version
	stamp   uint64        // counts every change that a pull under way would notice
	delay   time.Duration // a sub-server's activation delay: its root's

	members map[place]*member
	byPlace []*member // the same, in the order of compareMembers
	box     *outbox
	senders senderIDs
	held    sa.Senders // sub-server: what the cluster engine knows of them
	lkh     hierarchy

	rootActive bool      // sub-server only (D4)
	nextAsk    time.Time // sub-server: not to ask for a successor again before this

	// On a sub-server: TEKs that its own commits have destroyed. It sends no delete on its own account; members learn of them
	// with the root's next word, which may come after a restart.
	owed []doomed
	over []uint32 // and the last ones that have reached their end, by SPI

	// Within one plan: what was deleted and must still be named to members, and what they were told of already (T7).
	deleted     map[string][]doomed
	told        map[uint32]bool // TEKs that they were given,
	toldGone    map[uint32]bool // and that they are to delete
	toldKEKGone bool
	toldAll     bool

	stats    Statistics
	mismatch Mismatch

	sentBytes, sentPackets uint64 // pushes, repeated ones too
	ackBytes, ackPackets   uint64 // that were waited for
}

// Prepare reports, by name, what of a plan this engine cannot carry out. It changes nothing.
func (s *Server) Prepare(p *step.Plan) error {
	var errs []error
	asked := make(map[sa.Selector]string)
	for _, g := range s.sorted() {
		if !slices.ContainsFunc(p.Groups, func(c step.GroupChange) bool {
			return c.Old != nil && c.Old.Name == g.name || c.New != nil && c.New.Name == g.name
		}) {
			asked[g.conf.Selector] = g.name
		}
	}
	for _, c := range p.Groups {
		if c.New == nil {
			continue
		}
		errs = append(errs, check(c.New)...)
		x := c.New.Selector
		if other := asked[x]; other != "" && x != (sa.Selector{}) {
			errs = append(errs, &step.Refusal{
				Group: c.New.Name, Statement: []string{"object-identity"}, Reason: fmt.Sprintf("must be unique among groups: it is group %s's too", other),
			})
		}
		asked[x] = c.New.Name
	}
	return errors.Join(errs...)
}

func check(g *step.Group) (errs []error) {
	fault := func(statement []string, format string, args ...any) {
		errs = append(errs, &step.Refusal{Group: g.Name, Statement: statement, Reason: fmt.Sprintf(format, args...)})
	}
	c := g.Communication
	if c != nil && c.Certificate != "" {
		fault([]string{"server-member-communication", "certificate"}, "not yet supported: the server makes its own RSA key")
	}
	if c != nil && c.Group.IsValid() && g.Role != step.Standalone {
		fault([]string{"server-member-communication", "communication-type"}, "multicast is not supported in a server cluster: members would hear every server's messages, and numbers twice")
	}
	if c != nil && c.Hierarchy && g.Role != step.Standalone {
		fault([]string{"server-member-communication", "key-hierarchy"}, "not supported in a server cluster: each server would have members in a tree of its own")
	}
	if c == nil && len(g.SAs) == 0 {
		return errs
	}
	// What a pull would carry at most: every ipsec-sa with the TEKs that may live side by side.
	policy := &gdoi.Policy{ActivationDelay: g.ActivationDelay, DeactivationDelay: deactivation(g, g.ActivationDelay)}
	update := sa.Update{Group: g.Name, GroupID: g.ID, ActivationDelay: g.ActivationDelay}
	for i, x := range g.SAs {
		t := blankTEK(&x)
		key, auth, ok := t.KeyLengths()
		if !ok {
			if x.IEC61850 != nil {
				fault([]string{x.Statement(), x.Name}, "%s is not supported", t.Algorithms())
			} else {
				fault([]string{x.Statement(), x.Name}, "AES with a key of %d bits is not supported", x.KeyBits)
			}
			return errs
		}
		if t.Counts() {
			most, shared := 1<<senderBits(g)/2, ""
			if g.Role != step.Standalone {
				most, shared = most/serversOfRun, fmt.Sprintf(", and up to %d servers of a cluster share them", serversOfRun)
			}
			if len(g.Members) > most {
				fault([]string{"sender-id-bits"}, "%d member gateways need more than %d bits: each registration uses one up%s", len(g.Members), senderBits(g), shared)
			}
			if g.Role == step.RootServer && len(g.Peers) >= blocksOfRun {
				fault([]string{"server-cluster", "ike-gateway"}, "%d sub-servers are too many for %s: there are %d blocks of sender IDs, and the root-server needs one", len(g.Peers), t.Algorithms(), blocksOfRun)
			}
		}
		t.Key, t.AuthKey, t.Window = make(sa.Secret, key), make(sa.Secret, auth), windowOf(g, &x)
		for j := range maxPerName {
			t.SPI = uint32(minTEKSPI + i*maxPerName + j)
			policy.TEKs, update.TEKs = append(policy.TEKs, t), append(update.TEKs, t)
		}
	}
	if len(g.SAs) > 0 {
		if err := policy.Check(); err != nil {
			fault(nil, "its ipsec-sas do not fit a GDOI message: %v", err)
		}
	}
	if err := update.Check(); err != nil {
		fault(nil, "its ipsec-sas do not fit a record: %v", err)
	}
	return errs
}

// Configure takes over the new configuration of a plan. Groups that it deletes stay until Forget, so that effects still reach
// their members.
func (s *Server) Configure(now time.Time, p *step.Plan) {
	defer s.end()
	s.replay = p.Commit != 0 && p.Commit <= s.applied
	s.limit = p.MemberLimit
	for _, g := range s.groups {
		g.before, g.added, g.restored = g.conf, false, false
		g.newPlan()
	}
	for _, c := range p.Gateways {
		if c.New == nil || c.New.Side != step.Server {
			continue
		}
		if o := gdoi.Speak(c.New.Quirks); o != (gdoi.Options{}) {
			s.spoken[c.New.Name] = o
		} else {
			delete(s.spoken, c.New.Name)
		}
	}
	for _, c := range p.Groups {
		switch {
		case c.New == nil && c.Old != nil:
			if g := s.groups[c.Old.Name]; g != nil {
				g.gone = true
			}
		case c.New != nil:
			s.setGroup(now, c.New)
		}
	}
}

func (s *Server) setGroup(now time.Time, conf *step.Group) {
	g := s.groups[conf.Name]
	if g == nil {
		g = &group{
			name: conf.Name, conf: copyGroup(conf), added: true,
			members: make(map[place]*member),
			period:  defaultPeriod, retries: defaultRetries,
		}
		g.before = g.conf
		g.newPlan()
		g.box = &outbox{group: g}
		s.groups[g.name] = g
		if r := s.saved[g.name]; r != nil {
			s.adoptSaved(now, g, r)
			delete(s.saved, g.name)
		}
	}
	if g.conf.Role != conf.Role {
		g.rootActive = false
	}
	g.conf = copyGroup(conf)
	g.gateways = slices.Sorted(slices.Values(conf.Members))
	g.stamp++
	if g.conf.Role != step.SubServer && g.conf.Communication != nil {
		s.needKey(g)
	}
}

// copyGroup makes the engine's own copy of a configured group; slices are shared, since nobody writes to them.
func copyGroup(g *step.Group) step.Group {
	c := *g
	if c.Communication != nil {
		comm := *c.Communication
		c.Communication = &comm
	}
	return c
}

// Forget ends a plan: what it deleted goes, and the plan counts as carried out.
func (s *Server) Forget(now time.Time, p *step.Plan) {
	defer s.end()
	for _, g := range s.sorted() {
		switch {
		case g.gone:
			s.forget(now, g)
		case g.restored:
			s.tick(now, g)
			s.fill(now, g)
		case s.replay: // the last one may follow at a start, and what it made may be over since
			s.fill(now, g)
		}
		if !g.forgotten {
			s.shutOut(now, g)
			s.suit(now, g)
		}
		if g.old != nil { // nobody is left to be told of the new one
			g.old.Zero()
			g.old, g.lkh.updates = nil, nil
			s.dirty[g] = true
		}
		g.before, g.added, g.restored = g.conf, false, false
	}
	// The first plan after a start holds every group that there is; records of others are of groups deleted meanwhile.
	for _, name := range slices.Sorted(maps.Keys(s.saved)) {
		for _, k := range s.saved[name].keys {
			s.records[k] = nil
		}
		s.saved[name].zero()
		delete(s.saved, name)
	}
	for _, c := range p.Gateways {
		if c.New == nil && c.Old != nil && c.Old.Side == step.Server {
			delete(s.spoken, c.Old.Name)
		}
	}
	if p.Commit > s.applied {
		s.applied = p.Commit
		s.records[commitKey] = appendUint64(nil, p.Commit)
	}
	s.replay = false
}

// Applied is the number of the last commit whose plan was carried out to its end, 0 if none.
func (s *Server) Applied() uint64 { return s.applied }

// forget drops a deleted group. What is still on its way to members goes on without it (T14).
func (s *Server) forget(now time.Time, g *group) {
	s.deleteKeys(now, g)
	s.unregister(g, func(*member) bool { return true })
	maps.DeleteFunc(s.pulls, func(_ exchange, p *pull) bool { return p.group == g })
	g.forgotten = true
	delete(s.groups, g.name)
	delete(s.dirty, g)
	s.records[g.key()] = nil
	g.box.group = nil
	if len(g.box.pushes) > 0 {
		s.lastBox++
		g.box.number = s.lastBox
		s.leaving = append(s.leaving, g.box)
		s.saveBox(g.box)
	}
}

// unregister forgets the registrations that pick chooses. Pushes with keys for them stop; deletions go on (T11, T14).
func (s *Server) unregister(g *group, pick func(*member) bool) {
	for _, m := range g.sorted() {
		if !pick(m) {
			continue
		}
		s.unseat(g, m, true)
		s.strike(g, m)
		s.records[m.key()] = nil
		s.cancel(g.box.laneTo(m.lane()), func(d *delivery) bool { return d.push.keys })
		g.stamp++
	}
}

// enlist makes m a member of g.
func (s *Server) enlist(g *group, m *member) {
	g.members[m.place()] = m
	i, _ := slices.BinarySearchFunc(g.byPlace, m, compareMembers)
	g.byPlace = slices.Insert(g.byPlace, i, m)
	s.nameTargets(g)
}

// strike is the opposite. It comes before m's place changes.
func (s *Server) strike(g *group, m *member) {
	delete(g.members, m.place())
	if i, ok := slices.BinarySearchFunc(g.byPlace, m, compareMembers); ok {
		g.byPlace = slices.Delete(g.byPlace, i, i+1)
	}
	s.nameTargets(g)
}

// nameTargets has the record of g's pushes say whom they are for, since that is not simply all members any more.
func (s *Server) nameTargets(g *group) {
	for _, p := range g.box.pushes {
		if !p.named {
			p.named = true
			s.dirty[g] = true
		}
	}
}

// compareMembers orders members as compareDeliveries does what goes to them.
func compareMembers(a, b *member) int {
	if c := a.lane().compare(b.lane()); c != 0 {
		return c
	}
	return cmp.Compare(a.gateway, b.gateway)
}

// sorted lists the members by gateway and address.
func (g *group) sorted() []*member {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *member) int { return a.place().compare(b.place()) })
}

// total is the number of registered members over all groups (M4).
func (s *Server) total() (n int) {
	for _, g := range s.groups {
		n += len(g.members)
	}
	return n
}

// alone reports whether g's KEK is one that only a server by itself can have. In a cluster check refuses to make such, but a group
// that becomes a root-server's brings the one that it has.
func (g *group) alone() bool {
	return g.kek != nil && (g.kek.Multicast != nil || byMember(g.kek.Ack) || g.lkh.tree != nil)
}

// suit replaces a root's KEK that its sub-servers cannot take. Row 1.9 leaves it until the next rekey, so this is that one, sooner;
// members lose nothing by it (G1). It goes by the key and not by the commit, so that it is also for that of commits before, and after a
// restart in the middle.
func (s *Server) suit(now time.Time, g *group) {
	if g.conf.Role == step.RootServer && g.alone() && g.conf.Communication != nil && !g.want {
		s.notify(turn.Notice, "GKSD_CLUSTER_REKEY", fmt.Sprintf("group %s: sub-servers cannot share the KEK of before: a new one is made", g.name))
		s.rekey(now, g, true, nil)
	}
}

// ready reports whether g has what a member must be given.
func (g *group) ready() bool {
	if g.gone || g.sigWork != 0 && g.kek == nil || g.kek == nil && len(g.teks) == 0 {
		return false
	}
	if g.conf.Role == step.SubServer { // it hands out what its root has, whatever it would have made of it itself (T13)
		return true
	}
	if (g.kek != nil) != (g.conf.Communication != nil) {
		return false
	}
	for _, x := range g.conf.SAs {
		if g.current(x.Name) < 0 {
			return false
		}
	}
	return true
}

// activationDelay is how long a member that has an older TEK waits before it sends with a new one.
func (g *group) activationDelay() time.Duration {
	if g.conf.Role == step.SubServer && g.delay != 0 {
		return g.delay
	}
	return g.conf.ActivationDelay
}

// deactivationDelay is how long a replaced TEK lives. A sub-server's configuration is its root's in this too (V8).
func (g *group) deactivationDelay() time.Duration { return deactivation(&g.conf, g.activationDelay()) }

func deactivation(g *step.Group, activation time.Duration) time.Duration {
	if g.DeactivationDelay == 0 {
		return 2 * activation
	}
	return max(g.DeactivationDelay, activation)
}
