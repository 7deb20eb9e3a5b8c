package server

import (
	"cmp"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// Constants of this implementation.
const (
	defaultWorkBase = 2 << 56

	nonceLength = 32 // RFC 6407 section 5.8 allows 8..128
	minTEKSPI   = 256
	maxDelay    = 900 * time.Second // activation-time-delay, Junos's range
	sigKeyBits  = 2048              // RFC 6407 section 6.1

	maxPulls       = 4096             // exchanges that wait for their third message
	maxPullsPerSA  = 4                // of one peer
	pullTimeout    = 30 * time.Second // longer than any member's own patience
	workRetry      = 10 * time.Second // after a signature key could not be made
	minAckWait     = 10 * time.Second // RFC 8263 section 6: not missing before that
	quietFor       = time.Minute      // between two notifications of the same refusal
	defaultPeriod  = 10 * time.Second // of a sub-server that has a KEK and no server-member-communication
	defaultRetries = 2
)

// Options are the limits of a server. The zero value of a field means its default.
type Options struct {
	// WorkBase is added to the IDs of Work, so that engines side by side do not collide; its low 56 bits are zero.
	WorkBase uint64
	// Port is where members listen for pushes by multicast, and where those come from (848).
	Port uint16
}

// Outputs to the cluster engine, through package engine.
type (
	// Distribute asks that an Update reach every active sub-server of a group. It is owned by the receiver.
	Distribute struct {
		Group  string
		Update sa.Update
	}

	// Adopted answers Adopt; Err says why the SAs could not be installed, and then no acknowledgement may go out (C5).
	Adopted struct {
		Group    string
		Exchange uint64
		Err      error
	}

	// Fetched answers Fetch with all that the group has, owned by the receiver, or with Err if it has no keys yet.
	Fetched struct {
		Group    string
		Update   sa.Update
		Exchange uint64
		Err      error
	}

	// SoftExpired says that a sub-server's SA reached its soft lifetime and no successor came (C6).
	SoftExpired struct{ Group string }

	// HardExpired says that a sub-server's SA is dead and its members are forgotten (C7).
	HardExpired struct{ Group string }

	// SenderIDs says what a sub-server has of sender IDs on disk, for its next cluster-init; Low asks for one now.
	SenderIDs struct {
		Group string
		Has   sa.Senders
		Low   bool
	}
)

// IsOutput implements turn.Output.
func (Distribute) IsOutput() {}

// IsOutput implements turn.Output.
func (Adopted) IsOutput() {}

// IsOutput implements turn.Output.
func (Fetched) IsOutput() {}

// IsOutput implements turn.Output.
func (SoftExpired) IsOutput() {}

// IsOutput implements turn.Output.
func (HardExpired) IsOutput() {}

// IsOutput implements turn.Output.
func (SenderIDs) IsOutput() {}

// Inputs from the cluster engine.
type (
	// Adopt hands a sub-server what its root sent. The server owns the Update.
	Adopt struct {
		Group    string
		Update   sa.Update
		Exchange uint64
	}

	// Fetch asks for all that a group has, for a sub-server that has this of sender IDs (cluster-init, C2).
	Fetch struct {
		Group    string
		Peer     string // its gateway
		Has      sa.Senders
		Exchange uint64
	}
)

// Server is the key server engine of one node. It is owned by one goroutine.
type Server struct {
	options Options
	rand    io.Reader

	groups  map[string]*group
	spoken  map[string]gdoi.Options // to the members of a gateway, if it is not RFC 6407's way
	saved   map[string]*saved       // read by Restore, for groups that are not configured yet
	limit   int                     // of registered members over all groups (M4)
	applied uint64                  // the last commit carried out
	replay  bool                    // the plan in hand has been carried out before

	pulls     map[exchange]*pull
	pullQueue []*pull // in order of deadline; those not in pulls any more are skipped
	refused   map[string]exchange
	quiet     map[string]time.Time

	work     map[uint64]job
	lastWork uint64

	pushes  map[pushID][]*push // one for each way to speak
	made    uint64             // pushes so far
	due     dueHeap            // deliveries that wait for an acknowledgement
	leaving []*outbox          // of groups that are gone (T14)
	lastBox uint64             // numbers their records
	spent   map[kekSPI]spent   // of KEKs that may come back

	counters Counters

	dirty   map[*group]bool   // their record is to be written
	members map[*member]bool  // so is theirs
	records map[string][]byte // other records to be written
	post    []turn.Output     // what comes after those
	out     []turn.Output
}

// job is what a Work was asked for.
type job struct {
	group *group // its signature key, or
	push  *push  // its signature
}

// New makes a server without groups. rand gives keys, IVs, SPIs and nonces; an error of it is a panic, since no key server
// can go on without randomness.
func New(rand io.Reader, o Options) *Server {
	if o.WorkBase == 0 {
		o.WorkBase = defaultWorkBase
	}
	if o.Port == 0 {
		o.Port = ike.Port
	}
	return &Server{
		options: o,
		rand:    rand,
		groups:  make(map[string]*group),
		spoken:  make(map[string]gdoi.Options),
		saved:   make(map[string]*saved),
		pulls:   make(map[exchange]*pull),
		spent:   make(map[kekSPI]spent),
		refused: make(map[string]exchange),
		quiet:   make(map[string]time.Time),
		work:    make(map[uint64]job),
		pushes:  make(map[pushID][]*push),
		dirty:   make(map[*group]bool),
		members: make(map[*member]bool),
		records: make(map[string][]byte),
	}
}

// Next takes the next output, in order; false when there is none.
func (s *Server) Next() (turn.Output, bool) {
	if len(s.out) == 0 {
		return nil, false
	}
	o := s.out[0]
	s.out[0] = nil
	if s.out = s.out[1:]; len(s.out) == 0 {
		s.out = nil
	}
	return o, true
}

// emit puts an output behind this turn's records.
func (s *Server) emit(o turn.Output) { s.post = append(s.post, o) }

// end closes a turn: every record that it changed, then what it has to say. Nothing that a record must precede can slip past
// it, since nothing else writes to out but tellSenders, which says why it may.
func (s *Server) end() {
	s.trimPulls()
	for _, g := range slices.SortedFunc(maps.Keys(s.dirty), byName) {
		if !g.forgotten {
			s.records[g.key()] = g.record()
			s.saveTree(g)
			s.tellSenders(g)
		}
	}
	for m := range s.members {
		if m.group.members[m.place()] == m {
			s.records[m.key()] = m.record()
		}
	}
	for _, k := range s.onDisk() {
		s.out = append(s.out, turn.Persist{Key: k, Value: s.records[k]})
	}
	clear(s.dirty)
	clear(s.members)
	clear(s.records)
	s.out = append(s.out, s.post...)
	clear(s.post)
	s.post = s.post[:0]
}

func byName(a, b *group) int { return cmp.Compare(a.name, b.name) }

// sorted lists the groups by name, since what is done to them shows outside.
func (s *Server) sorted() []*group { return slices.SortedFunc(maps.Values(s.groups), byName) }

// draw returns n fresh random octets.
func (s *Server) draw(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		panic("server: randomness: " + err.Error())
	}
	return b
}

func (s *Server) notify(sev turn.Severity, code, text string) {
	s.emit(turn.Notify{Severity: sev, Code: code, Text: text})
}

// complain notifies about a refusal, but not about the same one again and again.
func (s *Server) complain(now time.Time, code, text string) {
	k := code + " " + text
	if t, ok := s.quiet[k]; ok && now.Before(t) {
		return
	}
	if len(s.quiet) >= 1024 {
		maps.DeleteFunc(s.quiet, func(_ string, t time.Time) bool { return !now.Before(t) })
		if len(s.quiet) >= 1024 {
			return
		}
	}
	s.quiet[k] = now.Add(quietFor)
	s.notify(turn.Warning, code, text)
}

// Owns reports whether a Work or Result with this ID is this server's.
func (s *Server) Owns(workID uint64) bool { return workID>>56 == s.options.WorkBase>>56 }

func (s *Server) ask(j job, op turn.Op) uint64 {
	s.lastWork++
	id := s.options.WorkBase | s.lastWork
	s.work[id] = j
	s.emit(turn.Work{ID: id, Op: op})
	return id
}

// HandleResult takes the answer to a Work. Results that nobody waits for any more are dropped, and a key in them destroyed.
func (s *Server) HandleResult(now time.Time, r turn.Result) {
	defer s.end()
	j, ok := s.work[r.ID]
	delete(s.work, r.ID)
	switch {
	case ok && j.push != nil:
		s.signed(now, j.push, r)
	case ok && j.group.sigWork == r.ID:
		s.keyMade(now, j.group, r)
	default:
		if pair, ok := r.Value.(turn.KeyPair); ok {
			pair.Private.Zero()
		}
	}
}

// HandleTimeout does what is due by now.
func (s *Server) HandleTimeout(now time.Time) {
	defer s.end()
	s.expirePulls(now)
	for _, g := range s.sorted() {
		s.tick(now, g)
	}
	s.retransmit(now)
}

// Deadline is when HandleTimeout is due next, false if never.
func (s *Server) Deadline() (next time.Time, ok bool) {
	first := func(t time.Time) {
		if !t.IsZero() && (!ok || t.Before(next)) {
			next, ok = t, true
		}
	}
	for _, p := range s.pullQueue {
		if s.pulls[p.exchange] == p {
			first(p.deadline)
			break
		}
	}
	if len(s.due) > 0 {
		first(s.due[0].due)
	}
	for _, g := range s.groups {
		first(g.deadline())
	}
	return next, ok
}

// HandleUp takes note of a phase-1 SA. There is nothing to do: members and peers speak first.
func (s *Server) HandleUp(time.Time, ike.Up) {}

// HandleDown drops the pulls that ran under a phase-1 SA. Registrations outlive it.
func (s *Server) HandleDown(_ time.Time, d ike.Down) {
	maps.DeleteFunc(s.pulls, func(x exchange, p *pull) bool {
		if x.sa != d.SA {
			return false
		}
		p.group.stats.PullFailed++
		return true
	})
}

// place is where a member is: its gateway and its address, and behind a NAT, where several members may have one address, its port
// (0 if there is no NAT: a peer may use what port it likes, and another one the next time).
type place struct {
	gateway string
	at      netip.AddrPort
}

func placeOf(gateway string, local, remote netip.AddrPort) place {
	if local.Port() != ike.NATPort {
		remote = netip.AddrPortFrom(remote.Addr(), 0)
	}
	return place{gateway, remote}
}

func (p place) text() string {
	if p.at.Port() == 0 {
		return p.at.Addr().String()
	}
	return p.at.String()
}

func (p place) compare(q place) int {
	return cmp.Or(strings.Compare(p.gateway, q.gateway), p.at.Compare(q.at))
}

// member is a registered member of a group. Owned by the group.
type member struct {
	group                       *group
	gateway                     string
	local, remote               netip.AddrPort // of its last pull: where pushes go, and from where
	since                       time.Time      // of the first registration
	updated                     time.Time      // of the last
	acknowledges                bool           // it has acknowledged a push, so a missing acknowledgement means something (RFC 8263 section 6)
	leaf                        uint16         // of the key hierarchy; 0: none
	leafKey                     sa.Secret      // the leaf's, or that of the last one: it acknowledges with it. nil: never had one
	silent                      bool           // it has let a push pass that it should have acknowledged, and has acknowledged none since: not waited for
	pulls, sent, acked, unacked uint64
}

func (m *member) place() place { return placeOf(m.gateway, m.local, m.remote) }
