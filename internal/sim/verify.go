package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"gvpn/commit"
	"gvpn/commit/step"
	"gvpn/engine"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/server"
	"gvpn/turn"
)

// settled is how long after the last disturbance a root and its sub-servers must agree on the keys: DPD's verdict (50 s by
// default), the next cluster-init (every 5 s), an update that is sent again (every 10 s), and some for the way.
const settled = 90 * time.Second

// verifier holds what the verifiers have seen of a world.
type verifier struct {
	disturbed time.Time // when the world was last disturbed
	looked    time.Time // when agree looked last
	disorder  bool      // an operator may have committed on sub-servers first
	skewed    bool      // a clock was changed: what was replaced ends at another time there, or comes again from the root
	secrets   *secrets

	keks      map[[16]byte]*sa.KEK // every KEK that a server has persisted, with number 0
	pushes    map[pushNumber]bool  // what a server has used up
	datagrams map[sentPush]bool    // and sent: each is looked at once
	spis      map[spiKey]time.Time // every key of every server, and when it was first seen
	gone      map[string]time.Time // members that were removed, and when
	agreed    map[string]time.Time // groups: when the root's keys last changed
	keysOf    map[string]string    // groups: the root's keys

	notices map[string]int // how often each was given

	windows  map[uint32]time.Duration // of each TEK that a member has had, by SPI
	captured map[[2]string]captured   // by sender and receiver

	senders map[senderKey]string             // who was given a sender ID, and in which life
	ranges  map[uint64]map[string]sa.Senders // what each server has not given, by epoch: on disk, of those that are down too

	gcm    map[uint32]bool   // SPIs of TEKs whose nonces count
	nonces map[[12]byte]bool // SPI and IV of every packet under one of them
}

// nonce holds an ESP packet that a member sends against those that all members have sent: no two under one key have the same IV
// (RFC 6407 section 3.5), through all crashes.
func (v *verifier) nonce(n *Node, esp []byte) {
	const header, iv = 20, 8
	spi := binary.BigEndian.Uint32(esp[header:])
	if !v.gcm[spi] {
		return
	}
	var k [12]byte
	copy(k[:4], esp[header:])
	copy(k[4:], esp[header+iv:])
	if v.nonces[k] {
		n.w.violate("%s: the IV %x is used twice under TEK %08x", n.Name, k[4:], spi)
	}
	v.nonces[k] = true
}

// senderKey is a sender ID under a TEK.
type senderKey struct {
	spi uint32
	id  turn.SenderID
}

// given holds the sender IDs that a member's data plane gets with a TEK against those of all others: nobody else had one of them
// with that TEK, nor had the member in an earlier life, whose nonces it does not remember (RFC 6407 section 3.5).
func (v *verifier) given(n *Node, o turn.InstallTEK) {
	who := fmt.Sprintf("%s in life %d", n.Name, n.life)
	for _, id := range o.Senders {
		k := senderKey{o.TEK.SPI, id}
		if had := v.senders[k]; had != "" && had != who {
			n.w.violate("%s: sender ID %d under TEK %08x, which %s has", who, id.Value, o.TEK.SPI, had)
		}
		v.senders[k] = who
	}
}

// owns holds the sender IDs that a server may give, by its record, against those of all other servers: no two have one in common.
func (v *verifier) owns(n *Node, group string, r sa.Senders) {
	name := n.Name + " " + group
	for _, all := range v.ranges {
		delete(all, name)
	}
	if r.Epoch == 0 {
		return
	}
	if v.ranges[r.Epoch] == nil {
		v.ranges[r.Epoch] = map[string]sa.Senders{}
	}
	for other, o := range v.ranges[r.Epoch] {
		if r.First < o.End() && o.First < r.End() {
			n.w.violate("%s: may give sender IDs %d to %d, and %s %d to %d", name, r.First, r.End()-1, other, o.First, o.End()-1)
		}
	}
	v.ranges[r.Epoch][name] = r
}

// captured is the last ESP packet that one member sent another, and what the sender's clock said.
type captured struct {
	esp []byte
	at  time.Time
}

// Replay sends each packet that was captured last between two members once more, and says what became of it. One whose TEK has a
// window must not be taken when the receiver's clock is outside of it.
func (w *World) Replay() (ways []string) {
	for _, a := range w.order {
		for _, b := range w.order {
			c, ok := w.verify.captured[[2]string{a.Name, b.Name}]
			if !ok || !b.up {
				continue
			}
			_, verdict := b.plane.Inbound(b.now(), c.esp, nil)
			window := w.verify.windows[binary.BigEndian.Uint32(c.esp[20:])]
			if age := b.now().Sub(c.at).Abs(); verdict.Passed() && window > 0 && age >= window+time.Millisecond {
				w.violate("%s to %s: a packet is taken again after %v, its window is %v", a.Name, b.Name, age, window)
			}
			ways = append(ways, fmt.Sprintf("%s to %s: %v", a.Name, b.Name, verdict))
		}
	}
	return ways
}

type pushNumber struct {
	node string
	spi  [16]byte
	seq  uint32
	way  gdoi.Options
}

type sentPush struct {
	node string
	sum  [32]byte
}

type spiKey struct {
	group string
	spi   string
}

func newVerifier() verifier {
	return verifier{
		disturbed: Epoch, secrets: newSecrets(), keks: map[[16]byte]*sa.KEK{}, pushes: map[pushNumber]bool{}, datagrams: map[sentPush]bool{},
		spis: map[spiKey]time.Time{}, gone: map[string]time.Time{}, agreed: map[string]time.Time{}, keysOf: map[string]string{},
		notices: map[string]int{}, windows: map[uint32]time.Duration{}, captured: map[[2]string]captured{},
		senders: map[senderKey]string{}, ranges: map[uint64]map[string]sa.Senders{},
		gcm: map[uint32]bool{}, nonces: map[[12]byte]bool{},
	}
}

// disturb notes that the world is not left alone: what must hold after a while counts from now.
func (v *verifier) disturb(w *World) { v.disturbed = w.now }

// Remove tells the verifiers that a member was taken out of its groups, on every server: it may hold no key that is made
// from now on.
func (w *World) Remove(member string) {
	w.verify.gone[member] = w.now
	w.note("%s is removed", member)
}

// output checks one output before it is carried out.
func (v *verifier) output(n *Node, o turn.Output) {
	switch o := o.(type) {
	case turn.Persist:
		v.persist(n, o)
	case turn.Work:
		switch op := o.Op.(type) {
		case turn.DHPublic:
			v.secrets.add("an exponent", op.Exponent)
		case turn.DHBoth:
			v.secrets.add("an exponent", op.Exponent)
		case turn.RSASign:
			v.secrets.add("a signature key", op.Private)
		}
	case turn.InstallTEK:
		v.secrets.add("a TEK", o.TEK.Key)
		v.secrets.add("a TEK's authentication key", o.TEK.AuthKey)
		if o.TEK.Counts() {
			v.gcm[o.TEK.SPI] = true
			v.given(n, o)
		}
		if w, had := v.windows[o.TEK.SPI]; had && w != o.TEK.Window {
			n.w.violate("%s: TEK %08x with an anti-replay window of %v, before it had %v", n.Name, o.TEK.SPI, o.TEK.Window, w)
		}
		v.windows[o.TEK.SPI] = o.TEK.Window
		v.install(n, o)
	case turn.Notify:
		v.notices[o.Code]++
		if v.skewed && o.Code == "GKSD_HARD_LIFETIME" { // by the clock of a sub-server that is ahead, before its root makes another key
			v.disturb(n.w)
		}
		v.public(n, "a notification", []byte(o.Code+" "+o.Text))
	case turn.Transmit:
		v.public(n, describe(o.Datagram), o.Datagram)
		if o.Local.Port() == ike.NATPort {
			if len(o.Datagram) == 1 && o.Datagram[0] == 0xff { // a keepalive (RFC 3948 section 2.3)
				return
			}
			message, marked := bytes.CutPrefix(o.Datagram, make([]byte, 4))
			if !marked {
				n.w.violate("%s: sends IKE without marker from port 4500", n.Name)
			}
			o.Datagram = message
		}
		if h, err := isakmp.ParseHeader(o.Datagram); err != nil {
			n.w.violate("%s: sends what is no ISAKMP message: %v", n.Name, err)
		} else if h.Exchange == isakmp.ExchangePush {
			v.push(n, o.Datagram)
		}
	}
}

// persist learns the keys of a server's record: "server/group/NAME/sas" is a version, a length and an Update.
func (v *verifier) persist(n *Node, o turn.Persist) {
	if !strings.HasPrefix(o.Key, "server/group/") || !strings.HasSuffix(o.Key, "/sas") || len(o.Value) < 5 {
		return
	}
	size := int(o.Value[1])<<24 | int(o.Value[2])<<16 | int(o.Value[3])<<8 | int(o.Value[4])
	if size > len(o.Value)-5 {
		n.w.violate("%s: record %s has another form than this verifier knows", n.Name, o.Key)
		return
	}
	u, err := sa.ParseUpdate(o.Value[5:5+size], time.Unix(0, 0).UTC())
	if err != nil {
		n.w.violate("%s: record %s: %v", n.Name, o.Key, err)
		return
	}
	v.owns(n, u.Group, u.Senders)
	if k := u.KEK; k != nil {
		v.made(n, u.Group, fmt.Sprintf("kek %x", k.SPI))
		if v.keks[k.SPI] == nil {
			k.Seq = 0
			v.keks[k.SPI] = k
			v.secrets.add("a KEK", k.Key)
			v.secrets.add("a KEK's signature key", k.SigPrivate)
		}
	}
	for _, t := range u.TEKs {
		v.made(n, u.Group, tekName(t.SPI))
		v.secrets.add("a TEK", t.Key)
	}
}

// made notes a key that a server has on its disk. The first to have it made it, and that is no sub-server (P3).
func (v *verifier) made(n *Node, group, key string) {
	k := spiKey{group, key}
	if _, seen := v.spis[k]; seen {
		return
	}
	v.spis[k] = n.w.now
	for _, g := range n.engine.Configured().Groups {
		if g.Name == group && g.Role == step.SubServer {
			n.w.violate("%s: a sub-server made %s of group %s", n.Name, key, group)
		}
	}
}

// push checks a GROUPKEY-PUSH: the very datagram is on disk before it is sent, and its number is used once.
func (v *verifier) push(n *Node, b []byte) {
	datagram := sentPush{n.Name, sha256.Sum256(b)}
	if v.datagrams[datagram] {
		return
	}
	v.datagrams[datagram] = true
	spi, ok := gdoi.PushSPI(b)
	if !ok || v.keks[spi] == nil {
		n.w.violate("%s: a push under a KEK that is on no disk", n.Name)
		return
	}
	// As the peer that it is for would read it: members with other quirks get other octets under the same number.
	way := gdoi.Speak(step.Quirks{})
	p, err := gdoi.OpenPush(v.keks[spi], nil, b, n.now(), way)
	for _, g := range n.engine.Configured().Gateways {
		if err == nil {
			break
		}
		way = gdoi.Speak(g.Quirks)
		p, err = gdoi.OpenPush(v.keks[spi], nil, b, n.now(), way)
	}
	if err != nil {
		n.w.violate("%s: a push that nobody can open: %v", n.Name, err)
		return
	}
	defer p.Policy.Zero()
	number := pushNumber{n.Name, spi, p.Seq, way}
	if v.pushes[number] {
		n.w.violate("%s: push number %d is used twice under one KEK", n.Name, p.Seq)
	}
	v.pushes[number] = true
	for _, r := range n.records {
		if bytes.Contains(r, b) {
			return
		}
	}
	n.w.violate("%s: push %d is sent before it is persisted", n.Name, p.Seq)
}

// install checks that a removed member gets no later key.
func (v *verifier) install(n *Node, o turn.InstallTEK) {
	at, removed := v.gone[n.Name]
	if !removed {
		return
	}
	for k, made := range v.spis {
		if k.spi == tekName(o.TEK.SPI) && made.After(at) {
			n.w.violate("%s: was removed, and gets TEK %08x, made later", n.Name, o.TEK.SPI)
		}
	}
}

func tekName(spi uint32) string { return fmt.Sprintf("tek %08x", spi) }

// turn checks a node after each of its turns.
func (v *verifier) turn(n *Node) {
	v.replies(n)
	if n.sub {
		v.agree(n.w)
		return // it makes no keys, and has no data plane
	}
	s := n.engine.State()
	for _, g := range s.Server.Groups {
		if g.Role == step.RootServer {
			if all := v.holdings(g, Epoch); v.keysOf[g.Name] != all {
				v.keysOf[g.Name], v.agreed[g.Name] = all, n.w.now
			}
		}
	}
	v.agree(n.w) // after that: sub-servers cannot have what their root has made in this turn
	now := n.now()
	plane := map[uint32]bool{}
	for _, p := range n.plane.State(now).VPNs {
		for _, t := range p.TEKs {
			plane[t.SPI] = true
			// The engine's turn may come later in the same instant; only what stays is wrong.
			if now.Sub(t.Hard) > time.Second {
				n.w.violate("%s: TEK %08x is in the data plane past its hard lifetime", n.Name, t.SPI)
			}
		}
	}
	for _, m := range s.Member.VPNs {
		for _, t := range m.TEKs {
			if t.IEC61850 != nil { // which the data plane must not have
				if !t.Hard.IsZero() && now.Sub(t.Hard) > time.Second {
					n.w.violate("%s: TEK %08x for IEC 61850 is kept past its hard lifetime", n.Name, t.SPI)
				}
				continue
			}
			if !plane[t.SPI] {
				n.w.violate("%s: TEK %08x is in the engine and not in the data plane", n.Name, t.SPI)
			}
			delete(plane, t.SPI)
		}
	}
	for _, spi := range slices.Sorted(maps.Keys(plane)) {
		n.w.violate("%s: TEK %08x is in the data plane and not in the engine", n.Name, spi)
	}
}

// seldom is how long after a look at much another is worth its time: d, but where there are many nodes, so that it takes longer and what
// is seen is more of the same, up to limit.
func (w *World) seldom(d, limit time.Duration) time.Duration {
	return min(d*time.Duration(1+len(w.order)/20), limit)
}

// agree checks that root and sub-servers hold the same keys, once the world has been left alone for long enough. What they must agree on
// has minutes, so not every turn of a second needs a look.
func (v *verifier) agree(w *World) {
	if !w.calm() || w.now.Sub(v.disturbed) < settled || w.now.Sub(v.looked) < w.seldom(time.Second, 30*time.Second) {
		return
	}
	v.looked = w.now
	root := map[string]string{}
	named := map[[2]string]bool{} // group and sub-server: one that its root does not name (2.4b) is on its own
	for _, n := range w.servers() {
		st := n.engine.State()
		for _, g := range st.Server.Groups {
			if g.Role == step.RootServer {
				root[g.Name] = v.holdings(g, n.now())
			}
		}
		for _, g := range st.Cluster.Groups {
			for _, p := range g.Peers {
				if sub := w.at[p.Remote]; p.Role == step.SubServer && sub != nil {
					named[[2]string{g.Name, sub.Name}] = true
				}
			}
		}
	}
	for _, n := range w.servers() {
		for _, g := range n.engine.State().Server.Groups {
			want, ok := root[g.Name]
			if g.Role != step.SubServer || !ok || !named[[2]string{g.Name, n.Name}] || w.now.Sub(v.agreed[g.Name]) < settled {
				continue
			}
			if got := v.holdings(g, n.now()); got != want {
				w.violate("%s: group %s: %s, and the root has %s", n.Name, g.Name, got, want)
				v.disturbed = w.now // once is enough
			}
		}
	}
}

// holdings names the keys of a server's group and the number of its last push: all servers number alike, or a member that
// moves from one to another would take the next push for a replay.
func (v *verifier) holdings(g server.GroupState, now time.Time) string {
	kek := "no KEK"
	if k := g.KEK; k != nil {
		kek = fmt.Sprintf("KEK %x%x", k.InitiatorCookie, k.ResponderCookie)
		if !v.disorder && !v.skewed {
			kek += fmt.Sprintf(" with push %d", k.Seq)
		}
	}
	if v.skewed { // a TEK may be in its last second at one server and have minutes at another, until that says GKSD_HARD_LIFETIME
		current := slices.DeleteFunc(slices.Clone(g.TEKs), func(t server.TEKState) bool { return !t.Current })
		return fmt.Sprintf("%s, TEKs %08x", kek, living(current, time.Time{}))
	}
	return fmt.Sprintf("%s, TEKs %08x", kek, living(g.TEKs, now))
}

// Disorder tells the verifiers that commits may come in another order than V10 asks for. A sub-server that was changed before
// its root deletes a TEK on its own account, gets it back from the root, and pushes it: under a number of its own.
func (w *World) Disorder() { w.verify.disorder = true }

// living is the SPIs of the TEKs that do not end within this second.
func living(teks []server.TEKState, now time.Time) (all []uint32) {
	for _, t := range teks {
		if t.Hard.Sub(now) > time.Second {
			all = append(all, t.SPI)
		}
	}
	slices.Sort(all)
	return all
}

// configured checks after a commit that the engine's configuration is the one that a fresh engine would have: apply ≡
// rebuild.
func (v *verifier) configured(n *Node, p *step.Plan) {
	for _, c := range p.Gateways {
		if c.New != nil {
			v.secrets.add("a pre-shared key", c.New.PSK)
		}
	}
	if all, err := n.log.Revisions(); err != nil || len(all) == 0 || all[len(all)-1].Number != p.Commit {
		return // the first of two plans after a crash between record and Apply
	}
	got := n.engine.Configured()
	rebuilt := &recorder{engine: engine.New(&stream{}, engine.Options{}), now: n.now()}
	db, err := commit.Open(n.log, rebuilt, n.now)
	if err == nil {
		err = db.Applied(0)
	}
	if err != nil {
		n.w.violate("%s: rebuild after commit %d: %v", n.Name, p.Commit, err)
		return
	}
	fresh := rebuilt.engine
	if want := fresh.Configured(); !reflect.DeepEqual(got, want) {
		n.w.violate("%s: after commit %d the configuration is not that of a fresh engine", n.Name, p.Commit)
	}
}

// recorder applies plans to an engine whose outputs nobody carries out.
type recorder struct {
	engine *engine.Engine
	now    time.Time
}

// Prepare implements commit.Applier.
func (*recorder) Prepare(*step.Plan) error { return nil }

// Apply implements commit.Applier.
func (r *recorder) Apply(p *step.Plan) { r.engine.Apply(r.now, p) }

// stream is a randomness of its own, so that looking at a world does not change it.
type stream struct{ n uint64 }

// Read implements io.Reader.
func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		s.n = s.n*6364136223846793005 + 1442695040888963407
		b[i] = byte(s.n >> 56)
	}
	return len(b), nil
}
