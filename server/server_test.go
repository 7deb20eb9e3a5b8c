package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

// start is the time at which every test begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// anything is what a member takes that can do all.
var anything = gdoi.Options{GCM: true, IEC61850: true}

var us = netip.MustParseAddrPort("192.0.2.1:848")

// signersPEM holds two keys of 2048 bits that sign nothing but what these tests send: making some anew takes seconds.
//
//go:embed testdata/signers.pem
var signersPEM []byte

// signers are signature keys: the first group's key is the first, and so on.
var signers = sync.OnceValue(func() (pairs [2]turn.KeyPair) {
	rest := signersPEM
	for i := range pairs {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			panic(err)
		}
		pairs[i].Private = block.Bytes
		if pairs[i].Public, err = x509.MarshalPKIXPublicKey(&key.(*rsa.PrivateKey).PublicKey); err != nil {
			panic(err)
		}
	}
	return pairs
})

func signer(n int) turn.KeyPair {
	p := signers()[n%2]
	return turn.KeyPair{Public: slices.Clone(p.Public), Private: p.Private.Clone()}
}

// curveSigner makes a signature key on a curve.
func curveSigner(t rapid.TB, alg sa.SigAlg) turn.KeyPair {
	key, err := ecdsa.GenerateKey(map[sa.SigAlg]elliptic.Curve{sa.ECDSA256: elliptic.P256(), sa.ECDSA384: elliptic.P384()}[alg], rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return turn.KeyPair{Public: public, Private: private}
}

// bench drives one Server: it is its disk, its workers, its members and its cluster, and says what it saw in words. SPIs are
// called by the order in which they were first seen: KEK1, TEK2.
type bench struct {
	t    rapid.TB
	s    *Server
	seed uint64
	now  time.Time

	disk   map[string][]byte
	config map[string]step.Group            // by name, as committed
	past   map[uint64]map[string]step.Group // by number of the commit
	keep   int                              // outputs that are carried out before a crash; < 0: all

	hold bool // do not answer Work
	held []turn.Work
	keys int
	// created are the TEKs that ike is told of, by phase-1 SA.
	created map[ike.SAID]int
	keks    map[string]*sa.KEK // as a member that knows them all has them
	names   map[string]string
	sa      ike.SAID
	update  *sa.Update // the last one distributed or fetched
	lines   []string
	reply   *ike.Reply
	ask     int                  // sender IDs to ask for in message 3
	lkh     map[string]*lkh.Keys // what each member holds of a hierarchy
	sids    map[string]bool      // by TEK and number: never two

	ids     sa.Senders  // of a sub-server: what it says in a cluster-init
	changes []sa.Update // of a root, distributed
	deaf    bool        // pushes are not read

	seqs map[string]string // every push number seen outside, with its datagram: never two
}

func newBench(t rapid.TB) *bench {
	b := &bench{
		t: t, now: start, disk: make(map[string][]byte), config: make(map[string]step.Group), past: make(map[uint64]map[string]step.Group), created: make(map[ike.SAID]int), keep: -1,
		keks: make(map[string]*sa.KEK), names: make(map[string]string), seqs: make(map[string]string), sids: make(map[string]bool), lkh: make(map[string]*lkh.Keys), sa: 100,
	}
	b.fresh()
	return b
}

func (b *bench) fresh() {
	b.seed++
	b.s = New(mathrand.NewChaCha8([32]byte{byte(b.seed)}), Options{})
}

func (b *bench) say(format string, args ...any) {
	b.lines = append(b.lines, fmt.Sprintf(format, args...))
}

func (b *bench) said() string {
	defer func() { b.lines = nil }()
	if len(b.lines) == 0 {
		return "nothing\n"
	}
	return strings.Join(b.lines, "\n") + "\n"
}

// name gives an SPI the next name of its kind.
func (b *bench) name(kind string, spi any) string {
	k := fmt.Sprintf("%s %x", kind, spi)
	if b.names[k] == "" {
		n := 1
		for other := range b.names {
			if strings.HasPrefix(other, kind) {
				n++
			}
		}
		b.names[k] = kind + strconv.Itoa(n)
	}
	return b.names[k]
}

// learn takes note of the KEKs that the server has, so that pushes under them can be read.
func (b *bench) learn() {
	for _, g := range b.s.sorted() {
		for _, k := range []*sa.KEK{g.old, g.kek} {
			if k != nil && b.keks[string(k.SPI[:])] == nil {
				c := k.Clone()
				c.Seq = 0
				b.keks[string(k.SPI[:])] = c
				b.name("KEK", k.SPI)
			}
		}
		for _, t := range g.teks {
			b.name("TEK", t.SPI)
		}
	}
}

// drain carries out what the server wants, and says what can be seen outside. A persisted record is not worth a word, but it
// must come before what it holds is seen.
func (b *bench) drain() {
	for {
		b.learn()
		o, ok := b.s.Next()
		if !ok {
			b.checkWaiting()
			return
		}
		if b.keep == 0 {
			continue
		}
		b.keep--
		switch o := o.(type) {
		case turn.Persist:
			if o.Value == nil {
				delete(b.disk, o.Key)
			} else {
				b.disk[o.Key] = bytes.Clone(o.Value)
			}
		case turn.Work:
			if b.hold {
				b.held = append(b.held, o)
				continue
			}
			b.answer(o)
		case turn.Transmit:
			if b.deaf {
				continue
			}
			if m := o.Multicast; m != nil {
				if m.Group != o.Remote {
					b.t.Errorf("a multicast for %v goes to %v", m.Group, o.Remote)
				}
				said := map[string]bool{} // of a hierarchy, each reads another part
				for _, name := range slices.Sorted(maps.Keys(b.lkh)) {
					said[b.push(name, o.Datagram)] = true
				}
				way := strings.TrimRight(fmt.Sprintf("ttl %d %s", m.TTL, m.Interface), " ")
				b.say("%s multicast from %v to %v %s: %s", b.at(), o.Local, o.Remote, way, strings.Join(slices.Sorted(maps.Keys(said)), " or "))
				continue
			}
			b.say("%s push to %s: %s", b.at(), memberName(o.Remote), b.push(memberName(o.Remote), o.Datagram))
		case Distribute:
			b.say("%s distribute %s", b.at(), b.describe(&o.Update))
			b.update = &o.Update
			b.changes = append(b.changes, o.Update.Clone())
		case Fetched:
			if o.Err != nil {
				b.say("fetched: %v", o.Err)
			} else {
				b.say("fetched %s", b.describe(&o.Update))
				b.update = &o.Update
			}
		case Adopted:
			b.say("adopted: %v", o.Err)
		case SoftExpired:
			b.say("%s soft expired", b.at())
		case HardExpired:
			b.say("%s hard expired", b.at())
		case SenderIDs:
			b.ids = o.Has
			if o.Low {
				b.say("%s asks for sender IDs, has %s", b.at(), numbers(o.Has))
			}
		case turn.Notify:
			b.checkText(o.Text)
			if o.Severity >= turn.Warning {
				b.say("%s %s %s", b.at(), o.Code, o.Text)
			}
		case ike.Abort:
			// said by pull
		case ike.Created:
			b.created[o.SA] += o.TEKs
		case ike.Delete:
			b.say("%s delete ike sa %s", b.at(), o.Gateway)
		case ike.Reply:
			if b.reply != nil {
				b.t.Errorf("two replies")
			}
			b.reply = &o
		default:
			b.t.Fatalf("output %T", o)
		}
	}
}

func (b *bench) at() string { return "+" + b.now.Sub(start).String() }

func (b *bench) answer(w turn.Work) {
	if !b.s.Owns(w.ID) {
		b.t.Errorf("work %#x is not the server's", w.ID)
	}
	r := turn.Result{ID: w.ID}
	switch op := w.Op.(type) {
	case turn.RSAKey:
		r.Value = signer(b.keys)
		b.keys++
	case turn.ECDSAKey:
		r.Value = curveSigner(b.t, op.Alg)
	case turn.RSASign, turn.ECDSASign:
		sig, err := gdoi.Sign(op)
		if err != nil {
			r.Err = err
		} else {
			r.Value = sig
		}
	}
	b.s.HandleResult(b.now, r)
}

// push reads a datagram as a member with every KEK would, and checks that its number is not used twice and is on disk.
func (b *bench) push(to string, datagram []byte) string {
	spi, ok := gdoi.PushSPI(datagram)
	k := b.keks[string(spi[:])]
	if !ok || k == nil {
		b.t.Fatalf("push under an unknown KEK")
	}
	c := k.Clone()
	c.Seq = 0
	p, err := gdoi.OpenPush(c, b.lkh[to], datagram, b.now, anything)
	if err != nil {
		b.t.Fatalf("push: %v", err)
	}
	id := fmt.Sprintf("%s/%d", b.name("KEK", spi), p.Seq)
	if old, ok := b.seqs[id]; ok && old != string(datagram) {
		b.t.Errorf("push number %s used twice", id)
	}
	b.seqs[id] = string(datagram)
	b.checkDisk(spi, p)
	words := []string{id}
	if p.DeleteAll {
		words = append(words, "delete-all")
	}
	if p.DeleteKEK {
		words = append(words, "delete-kek")
	}
	for _, spi := range p.DeleteTEKs {
		words = append(words, "delete "+b.name("TEK", spi))
	}
	for _, spi := range p.Delete61850 {
		words = append(words, "delete IEC 61850 "+b.name("TEK", spi))
	}
	if p.Excluded {
		words = append(words, "a KEK that it cannot open")
	}
	if p.Policy != nil {
		if p.Policy.LKH != nil {
			b.lkh[to] = p.Policy.LKH
			words = append(words, fmt.Sprintf("%d octets", len(datagram)))
		}
		if p.Policy.KEK != nil {
			words = append(words, b.name("KEK", p.Policy.KEK.SPI))
			if m := p.Policy.KEK.Multicast; m != nil {
				words = append(words, fmt.Sprintf("from %v to %v", p.Policy.PushFrom, m.Group))
			}
			if len(p.Policy.TEKs) > 0 {
				b.t.Errorf("push %s brings a KEK and TEKs", id)
			}
		}
		for _, t := range p.Policy.TEKs {
			words = append(words, b.name("TEK", t.SPI)+b.selector(&t))
		}
		if p.Policy.ActivationDelay > 0 {
			words = append(words, fmt.Sprintf("atd %v dtd %v", p.Policy.ActivationDelay, p.Policy.DeactivationDelay))
		}
	}
	return strings.Join(words, " ")
}

// timed names a window if there is one.
func timed(w time.Duration) string {
	if w == 0 {
		return ""
	}
	return fmt.Sprintf(" window %v", w)
}

// selector says what a TEK for IEC 61850 is for, and how long to wait before it is used; of one for ESP its window.
func (b *bench) selector(t *sa.TEK) string {
	x := t.IEC61850
	if x == nil {
		return timed(t.Window)
	}
	s := fmt.Sprintf(" for %v with %s", x.Selector, t.Algorithms())
	if !t.Activate.IsZero() {
		s += fmt.Sprintf(" in %v", t.Activate.Sub(b.now))
	}
	if x.HasAssurance {
		s += fmt.Sprintf(" assured %d", x.Assurance)
	}
	return s
}

func (b *bench) describe(u *sa.Update) string {
	words := []string{fmt.Sprintf("v%d id %d", u.Version, u.GroupID)}
	for _, f := range []struct {
		set  bool
		word string
	}{{u.Full, "full"}, {u.DeleteAll, "delete-all"}, {u.DeleteMembers, "delete-members"}, {u.DeleteKEK, "delete-kek"}} {
		if f.set {
			words = append(words, f.word)
		}
	}
	for _, spi := range u.DeleteTEKs {
		words = append(words, "delete "+b.name("TEK", spi))
	}
	if u.KEK != nil {
		words = append(words, fmt.Sprintf("%s seq %d", b.name("KEK", u.KEK.SPI), u.KEK.Seq))
		if len(u.KEK.SigPrivate) == 0 {
			b.t.Error("a KEK for sub-servers has no private key")
		}
	}
	for _, t := range u.TEKs {
		words = append(words, b.name("TEK", t.SPI)+"("+t.Name+")"+timed(t.Window))
	}
	if u.Senders.Epoch != 0 {
		words = append(words, numbers(u.Senders))
	}
	return strings.Join(words, " ")
}

// numbers names sender IDs: "8..15 of 8 bits". Their epoch is a random number.
func numbers(r sa.Senders) string {
	if r.Count == 0 {
		return "no sender IDs"
	}
	return fmt.Sprintf("sender IDs %d..%d of %d bits", r.First, r.End()-1, r.Bits)
}

// memberAddr is the address of member mN.
func memberAddr(t rapid.TB, name string) netip.AddrPort {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "m"))
	if err != nil {
		t.Fatalf("member %q", name)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}), 848)
}

func memberName(a netip.AddrPort) string { b := a.Addr().As4(); return "m" + strconv.Itoa(int(b[3])) }

// message runs one message of a pull and returns the reply, nil if there is none.
func (b *bench) message(m ike.Message) *ike.Reply {
	b.s.HandleMessage(b.now, m)
	b.drain()
	r := b.reply
	b.reply = nil
	if r != nil && (r.SA != m.SA || r.MsgID != m.MsgID) {
		b.t.Errorf("reply %+v", r)
	}
	return r
}

// pull registers a member in a group by its number; stop as in pullBy.
func (b *bench) pull(name string, id uint32, stop int) string {
	return b.pullBy(name, gdoi.GroupName{ID: id}, stop)
}

// pullBy registers a member; stop is after which message it falls silent (0: never).
func (b *bench) pullBy(name string, id gdoi.GroupName, stop int) string {
	b.sa++
	m := ike.Message{
		SA: b.sa, Gateway: name, Local: us, Remote: memberAddr(b.t, name), Exchange: isakmp.ExchangePull, MsgID: 7, Number: 1,
		First: isakmp.PayloadNONCE, Payloads: gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), id, gdoi.Options{}),
	}
	r := b.message(m)
	if r == nil {
		return "no answer"
	}
	if stop == 1 {
		return "offered"
	}
	_, policy, err := gdoi.ParsePull2(r.First, r.Payloads, b.now, anything)
	if err != nil {
		b.t.Fatalf("message 2: %v", err)
	}
	m.Number, m.First, m.Payloads = 3, gdoi.Pull3First(b.ask), gdoi.AppendPull3(nil, b.ask)
	if r = b.message(m); r == nil {
		return "no answer to message 3"
	}
	if !r.Last {
		b.t.Error("message 4 is not the last")
	}
	g := b.s.byID(id.ID)
	if id.ID == 0 {
		g = b.s.bySelector(id.Selector)
	}
	if b.disk[(&member{group: g, gateway: name, remote: memberAddr(b.t, name)}).key()] == nil {
		b.t.Errorf("%s got its keys and is not on disk", name)
	}
	if err := gdoi.ParsePull4(r.First, r.Payloads, policy, anything); err != nil {
		b.t.Fatalf("message 4: %v", err)
	}
	if n := b.created[b.sa]; n != len(policy.TEKs) && b.keep < 0 {
		b.t.Errorf("ike is told of %d TEKs, given were %d", n, len(policy.TEKs))
	}
	if b.lkh[name] = policy.LKH; policy.LKH != nil {
		return b.given(policy) + fmt.Sprintf(", %d keys of the hierarchy", policy.LKH.Len())
	}
	return b.given(policy)
}

// given describes what a pull gave, and checks that it is what the server has.
func (b *bench) given(p *gdoi.Policy) string {
	var words []string
	if p.KEK != nil {
		words = append(words, fmt.Sprintf("%s seq %d life %v", b.name("KEK", p.KEK.SPI), p.KEK.Seq, p.KEK.Hard.Sub(b.now)))
		if p.KEK.Multicast != nil {
			words = append(words, fmt.Sprintf("from %v to %v", p.PushFrom, p.KEK.Multicast.Group))
		}
	}
	for _, t := range p.TEKs {
		words = append(words, fmt.Sprintf("%s life %v%s", b.name("TEK", t.SPI), t.Hard.Sub(b.now), b.selector(&t)))
	}
	if ids := p.SenderIDs; ids != nil {
		words = append(words, fmt.Sprintf("sender %v of %d bits", ids.Values, ids.Bits))
		for _, v := range ids.Values {
			for _, t := range p.TEKs {
				id := fmt.Sprintf("%x sender %d", []byte(t.Key), v)
				if b.sids[id] {
					b.t.Errorf("sender ID %d given twice under one key", v)
				}
				b.sids[id] = true
			}
		}
	}
	return strings.Join(words, ", ")
}

// ack acknowledges a push for a member.
func (b *bench) ack(name, push string, mangle func([]byte)) {
	kek, seq, _ := strings.Cut(push, "/")
	n, err := strconv.ParseUint(seq, 10, 32)
	if err != nil {
		b.t.Fatalf("push %q", push)
	}
	for spi, k := range b.keks {
		if b.name("KEK", k.SPI) == kek {
			a := gdoi.AppendAck(nil, gdoi.Ack{SPI: [16]byte([]byte(spi)), Seq: uint32(n), Member: memberAddr(b.t, name).Addr()}, gdoi.AckKey(k, b.leaf(name), gdoi.Options{}))
			if mangle != nil {
				mangle(a)
			}
			b.s.HandleDatagram(b.now, us, memberAddr(b.t, name), a)
			b.drain()
			return
		}
	}
	b.t.Fatalf("no KEK %q", kek)
}

// leaf is the key of a member that nobody else has, nil without a hierarchy.
func (b *bench) leaf(name string) sa.Secret {
	if k := b.lkh[name]; k != nil {
		return k.Leaf()
	}
	return nil
}

// advance lets time pass, and the server do what is due on the way.
func (b *bench) advance(d time.Duration) {
	end := b.now.Add(d)
	for range 10000 {
		at, ok := b.s.Deadline()
		if !ok || at.After(end) {
			b.now = end
			return
		}
		if at.After(b.now) {
			b.now = at
		}
		b.s.HandleTimeout(b.now)
		b.drain()
	}
	b.t.Fatal("the server never rests")
}

// commit takes over a configuration: groups are those named in it, all others are deleted.
func (b *bench) commit(number uint64, next map[string]step.Group, effects []step.Effect) error {
	p := &step.Plan{MemberLimit: 5, Commit: number}
	names := make(map[string]bool)
	for n := range b.config {
		names[n] = true
	}
	for n := range next {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		var c step.GroupChange
		if g, ok := b.config[n]; ok {
			c.Old = &g
		}
		if g, ok := next[n]; ok {
			c.New = &g
		}
		p.Groups = append(p.Groups, c)
	}
	if err := b.s.Prepare(p); err != nil {
		return err
	}
	b.config, b.past[number] = next, next
	b.s.Configure(b.now, p)
	b.drain()
	for _, e := range effects {
		b.s.Apply(b.now, e)
		b.drain()
	}
	b.s.Forget(b.now, p)
	b.drain()
	return nil
}

// restart gives the records to a new server, and the configuration of the last commit that it has carried out to its end, as a
// repetition.
func (b *bench) restart() {
	b.fresh()
	b.held = nil
	if err := b.s.Restore(b.now, b.disk); err != nil {
		b.say("restore: %v", err)
	}
	b.drain()
	b.config = nil
	if err := b.commit(b.s.Applied(), b.past[b.s.Applied()], nil); err != nil {
		b.t.Fatal(err)
	}
}

// parseGroup reads "G id=1 role=root-server members=m1,m2 sas=S,T:10.0.0.0/8 kek=3600 retries=2 threshold=1 peers=P".
func parseGroup(t rapid.TB, line string) step.Group {
	f := strings.Fields(line)
	g := step.Group{Name: f[0], ID: 1, ActivationDelay: 15 * time.Second, PeerPeriod: 10 * time.Second}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return n
	}
	comm := &step.Communication{KeyBits: 256, SigHash: sa.SHA256, Lifetime: time.Hour, Retransmission: 10 * time.Second, Retries: 2}
	g.Communication = comm
	for _, w := range f[1:] {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "id":
			g.ID = uint32(number(v))
		case "role":
			g.Role = map[string]step.Role{"standalone": step.Standalone, "root-server": step.RootServer, "sub-server": step.SubServer}[v]
		case "members":
			g.Members = strings.Split(v, ",")
		case "peers":
			g.Peers = strings.Split(v, ",")
		case "threshold":
			g.MemberThreshold = uint32(number(v))
		case "kek":
			if v == "none" {
				g.Communication = nil
			} else {
				comm.Lifetime = time.Duration(number(v)) * time.Second
			}
		case "sig":
			switch v {
			case "ecdsa-256":
				comm.SigAlg = sa.ECDSA256
			case "ecdsa-384":
				comm.SigAlg, comm.SigHash = sa.ECDSA384, sa.SHA384
			case "sha-512":
				comm.SigHash = sa.SHA512
			default:
				comm.SigHash = sa.SHA384
			}
		case "ack":
			comm.NoAck = v == "none"
			if v == "sha-512" {
				comm.AckHash = sa.SHA512
			}
		case "multicast": // group and interface
			group, name, _ := strings.Cut(v, "%")
			comm.Group, comm.Interface, comm.TTL = netip.MustParseAddr(group), name, 64
		case "retries":
			comm.Retries = number(v)
		case "period":
			comm.Retransmission = time.Duration(number(v)) * time.Second
		case "lkh":
			comm.Hierarchy = true
		case "dtd":
			g.DeactivationDelay = time.Duration(number(v)) * time.Second
		case "sender-bits":
			g.SenderIDBits = number(v)
		case "gcm": // of every ipsec-sa named before
			for i := range g.SAs {
				g.SAs[i].Cipher = sa.GCM
			}
		case "oid":
			oid, payload, _ := strings.Cut(v, "/")
			g.Selector = selectorOf(t, oid, payload)
		case "iec":
			name, x := parseIEC61850(t, v)
			g.SAs = append(g.SAs, step.IPsecSA{Name: name, Lifetime: 30 * time.Minute, IEC61850: x})
		case "certificate":
			comm.Certificate = v
		case "window":
			g.AntiReplayWindow = time.Duration(number(v)) * time.Millisecond
		case "no-anti-replay":
			g.NoAntiReplay = true
		case "bits": // of every ipsec-sa named before
			for i := range g.SAs {
				g.SAs[i].KeyBits = number(v)
			}
		case "sas":
			for _, s := range strings.Split(v, ",") {
				if s == "" {
					continue
				}
				name, dst, _ := strings.Cut(s, ":")
				if dst == "" {
					dst = "172.16.0.0/12"
				}
				g.SAs = append(g.SAs, step.IPsecSA{
					Name: name, KeyBits: 256, Lifetime: 30 * time.Minute,
					Policies: []sa.Policy{{Name: "1", Source: netip.MustParsePrefix("172.16.0.0/12"), Destination: netip.MustParsePrefix(dst)}},
				})
			}
		default:
			t.Fatalf("%s: %q", line, w)
		}
	}
	return g
}

// parseIEC61850 reads "GOOSE:1.2.3/233.252.0.1/2/2/90": name, object identifier, payload, authentication, encryption, and the
// assurance if there is one.
func parseIEC61850(t rapid.TB, s string) (name string, x *sa.IEC61850) {
	name, rest, _ := strings.Cut(s, ":")
	f := strings.Split(rest, "/")
	var n [3]int
	for i := range f[2:] {
		var err error
		if n[i], err = strconv.Atoi(f[2+i]); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return name, &sa.IEC61850{
		Selector: selectorOf(t, f[0], f[1]), Auth: sa.Auth(n[0]), Enc: sa.Enc(n[1]), Assurance: uint8(n[2]), HasAssurance: len(f) > 4,
	}
}

func selectorOf(t rapid.TB, oid, payload string) sa.Selector {
	s, err := sa.NewSelector(oid, payload)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// parseEffect reads "1.4 G delete-tek sa=S gateway=m1".
func parseEffect(t rapid.TB, line string) step.Effect {
	f := strings.Fields(line)
	if len(f) < 3 {
		t.Fatalf("effect %q", line)
	}
	e := step.Effect{Row: f[0], Group: f[1], Kind: step.Kind(f[2])}
	if e.Group == "-" {
		e.Group = ""
	}
	for _, w := range f[3:] {
		switch k, v, _ := strings.Cut(w, "="); k {
		case "sa":
			e.SA = v
		case "gateway":
			e.Gateway = v
		default:
			t.Fatalf("effect %q", line)
		}
	}
	return e
}

// state describes what remains.
func (b *bench) state() string {
	st := b.s.State()
	var out strings.Builder
	for _, g := range st.Groups {
		fmt.Fprintf(&out, "%s id %d %v v%d", g.Name, g.ID, g.Role, g.Version)
		if g.Ready {
			out.WriteString(" ready")
		}
		if g.Role == step.SubServer && g.RootActive {
			out.WriteString(" root-active")
		}
		out.WriteString("\n")
		if k := g.KEK; k != nil {
			how := ""
			if k.SigAlg != sa.RSA || k.SigHash == sa.SHA512 || k.Ack != gdoi.AckKEKSHA256 {
				how = fmt.Sprintf(" %v/%v ack %d", k.SigAlg, k.SigHash, k.Ack)
			}
			if k.Hierarchy >= 0 {
				how += fmt.Sprintf(" hierarchy of %d", k.Hierarchy)
			}
			fmt.Fprintf(&out, "  %s seq %d soft %v hard %v"+how+"\n", b.name("KEK", append(k.InitiatorCookie[:], k.ResponderCookie[:]...)), k.Seq, k.Soft.Sub(b.now), k.Hard.Sub(b.now))
		}
		for _, t := range g.TEKs {
			fmt.Fprintf(&out, "  %s %s soft %v hard %v", b.name("TEK", t.SPI), t.Name, t.Soft.Sub(b.now), t.Hard.Sub(b.now))
			if !t.Current {
				out.WriteString(" replaced")
			}
			if t.Activate.After(b.now) {
				fmt.Fprintf(&out, " activate in %v", t.Activate.Sub(b.now))
			}
			out.WriteString(timed(t.Window))
			out.WriteString("\n")
		}
		for _, m := range g.Members {
			fmt.Fprintf(&out, "  member %s %v pulls %d sent %d acked %d unacked %d", m.Gateway, m.Remote, m.Pulls, m.PushSent, m.PushAcknowledged, m.PushUnacknowledged)
			if m.Silent {
				out.WriteString(" silent")
			}
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "  %+v", g.Statistics)
		if g.Mismatch != (Mismatch{}) {
			fmt.Fprintf(&out, " %+v", g.Mismatch)
		}
		if g.PushesPending > 0 {
			fmt.Fprintf(&out, " pending %d", g.PushesPending)
		}
		out.WriteString("\n")
	}
	if st.Counters != (Counters{}) {
		fmt.Fprintf(&out, "%+v\n", st.Counters)
	}
	if out.Len() == 0 {
		return "empty\n"
	}
	return out.String()
}

// parseUpdate makes what a root sends: "v3 full members delete-tek=TEK1 kek=K1 tek=S,T:10.0.0.0/8 life=600". Keys are made by
// name: the same name gives the same key, so that an update can repeat one. seq=N is the KEK's number.
func (b *bench) parseUpdate(line string) sa.Update {
	f := strings.Fields(line)
	v, err := strconv.ParseUint(strings.TrimPrefix(f[0], "v"), 10, 64)
	if err != nil {
		b.t.Fatalf("update %q", line)
	}
	u := sa.Update{Group: "G", GroupID: 1, Version: v, ActivationDelay: 15 * time.Second}
	life := time.Hour
	fill := func(name string, n int) []byte {
		out := make([]byte, n)
		copy(out, name)
		for i := len(name); i < n; i++ {
			out[i] = byte(i + 1)
		}
		return out
	}
	for _, w := range f[1:] {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "full":
			u.Full = true
		case "delete-all":
			u.DeleteAll = true
		case "delete-members":
			u.DeleteMembers = true
		case "delete-kek":
			u.DeleteKEK = true
		case "id":
			n, _ := strconv.Atoi(v)
			u.GroupID = uint32(n)
		case "life":
			n, _ := strconv.Atoi(v)
			life = time.Duration(n) * time.Second
		case "delete-tek":
			u.DeleteTEKs = append(u.DeleteTEKs, tekSPI(v))
		case "kek":
			pair := signer(0)
			u.KEK = &sa.KEK{
				SPI: [16]byte(fill(v, 16)), KeyBits: 256, Key: fill(v, 32), SigHash: sa.SHA256, SigPublic: pair.Public, SigPrivate: pair.Private,
				Ack: gdoi.AckKEKSHA256, Created: b.now, Soft: b.now.Add(life * 9 / 10), Hard: b.now.Add(life),
			}
		case "multicast":
			u.KEK.Multicast = &sa.Multicast{Group: netip.MustParseAddrPort("239.1.1.1:848")}
		case "seq":
			n, _ := strconv.Atoi(v)
			u.KEK.Seq = uint32(n)
		case "gcm": // of the TEKs named before
			for i := range u.TEKs {
				u.TEKs[i].Cipher, u.TEKs[i].Key, u.TEKs[i].AuthKey = sa.GCM, append(u.TEKs[i].Key, 0, 0, 0, 0), nil
			}
		case "senders": // epoch/bits/first/count
			if n, err := fmt.Sscanf(v, "%d/%d/%d/%d", &u.Senders.Epoch, &u.Senders.Bits, &u.Senders.First, &u.Senders.Count); n != 4 {
				b.t.Fatalf("update %q: %v", line, err)
			}
		case "sig":
			switch v {
			case "ecdsa-256":
				pair := curveSigner(b.t, sa.ECDSA256)
				u.KEK.SigAlg, u.KEK.SigPublic, u.KEK.SigPrivate = sa.ECDSA256, pair.Public, pair.Private
			case "sha-512":
				u.KEK.SigHash = sa.SHA512
			case "mixed": // RSA's key under another name
				u.KEK.SigAlg = sa.ECDSA256
			}
		case "tek":
			for _, s := range strings.Split(v, ",") {
				id, dst, _ := strings.Cut(s, ":")
				if dst == "" {
					dst = "172.16.0.0/12"
				}
				u.TEKs = append(u.TEKs, sa.TEK{
					Name: strings.TrimRight(id, "0123456789"), SPI: tekSPI(id), KeyBits: 256, Key: fill(id, 32), AuthKey: fill(id, 32),
					Policies: []sa.Policy{{Source: netip.MustParsePrefix("172.16.0.0/12"), Destination: netip.MustParsePrefix(dst)}},
					Created:  b.now, Soft: b.now.Add(life * 9 / 10), Hard: b.now.Add(life), Activate: b.now,
				})
			}
		case "window": // of the TEKs named before
			ms, err := strconv.Atoi(v)
			if err != nil {
				b.t.Fatalf("update %q", line)
			}
			for i := range u.TEKs {
				u.TEKs[i].Window = time.Duration(ms) * time.Millisecond
			}
		case "iec":
			id, x := parseIEC61850(b.t, v)
			t := sa.TEK{
				Name: strings.TrimRight(id, "0123456789"), SPI: tekSPI(id), IEC61850: x,
				Created: b.now, Soft: b.now.Add(life * 9 / 10), Hard: b.now.Add(life), Activate: b.now.Add(15 * time.Second),
			}
			key, auth, _ := t.KeyLengths()
			t.Key, t.AuthKey = fill(id, key), fill(id, auth)
			u.TEKs = append(u.TEKs, t)
		default:
			b.t.Fatalf("update %q", line)
		}
	}
	return u
}

func tekSPI(name string) (n uint32) {
	for _, c := range []byte(name) {
		n = n<<8 | uint32(c)
	}
	return n
}

// TestConversations runs the texts in testdata/conversation: what is said to a server, and what it does. A part that is about rows of the
// tables is a subtest of their name. `go test -rewrite` writes them anew.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversation", func(t *testing.T, path string) {
		b := newBench(t)
		defer func() { // b.t is the last subtest, which is over
			b.t = t
			b.checkSecrets()
		}()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			b.t = t
			return b.run(d)
		})
	})
}

func (b *bench) run(d *datadriven.TestData) string {
	arg := func(i int) string { return d.CmdArgs[i].String() }
	switch d.Cmd {
	case "commit": // number; group lines, then effect lines that begin with "!"
		n, err := strconv.ParseUint(arg(0), 10, 64)
		if err != nil {
			d.Fatalf(b.t.(*testing.T), "commit number: %v", err)
		}
		next := make(map[string]step.Group)
		var effects []step.Effect
		for line := range strings.Lines(d.Input) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "!") {
				effects = append(effects, parseEffect(b.t, line[1:]))
			} else if line != "" {
				g := parseGroup(b.t, line)
				next[g.Name] = g
			}
		}
		if err := b.commit(n, next, effects); err != nil {
			return "prepare: " + err.Error() + "\n"
		}
	case "ask": // so many sender IDs, from now on
		b.ask, _ = strconv.Atoi(arg(0))
	case "pull", "offer": // member [group id, or object identifier and payload]
		id := gdoi.GroupName{ID: 1}
		switch len(d.CmdArgs) {
		case 2:
			n, _ := strconv.Atoi(arg(1))
			id.ID = uint32(n)
		case 3:
			id = gdoi.GroupName{Selector: selectorOf(b.t, arg(1), arg(2))}
		}
		stop := 0
		if d.Cmd == "offer" {
			stop = 1
		}
		got := b.pullBy(arg(0), id, stop)
		b.lines = append([]string{got}, b.lines...)
	case "third": // message 3 of the last offer
		m := ike.Message{SA: b.sa, Gateway: arg(0), Local: us, Remote: memberAddr(b.t, arg(0)), Exchange: isakmp.ExchangePull, MsgID: 7, Number: 3}
		if b.message(m) == nil {
			b.say("no answer")
		} else {
			b.say("answered")
		}
	case "ack": // member push
		b.ack(arg(0), arg(1), nil)
	case "forge":
		b.ack(arg(0), arg(1), func(a []byte) { a[len(a)/2] ^= 1 })
	case "advance":
		d0, err := time.ParseDuration(arg(0))
		if err != nil {
			d.Fatalf(b.t.(*testing.T), "%v", err)
		}
		b.advance(d0)
	case "restart":
		if d.HasArg("after") {
			var dur string
			d.ScanArgs(b.t.(*testing.T), "after", &dur)
			x, _ := time.ParseDuration(dur)
			b.now = b.now.Add(x)
		}
		b.restart()
	case "root-active":
		b.s.RootActive(b.now, "G", arg(0) == "true")
		b.drain()
	case "adopt":
		b.s.Adopt(b.now, Adopt{Group: "G", Update: b.parseUpdate(d.Input), Exchange: 9})
		b.drain()
	case "fetch": // [peer [what it has: first count [another epoch]]]
		f := Fetch{Group: "G", Exchange: 3}
		if len(d.CmdArgs) > 0 {
			f.Peer = arg(0)
		}
		if len(d.CmdArgs) > 2 {
			f.Has = b.s.groups["G"].senders.run()
			for i, n := range []*uint32{&f.Has.First, &f.Has.Count} {
				v, _ := strconv.Atoi(arg(1 + i))
				*n = uint32(v)
			}
			if len(d.CmdArgs) > 3 {
				f.Has.Epoch++
			}
		}
		b.s.Fetch(b.now, f)
		b.drain()
	case "rekey", "clear", "clear-statistics", "clear-mismatch": // group, of the last
		var c Command
		switch d.Cmd {
		case "rekey":
			c = Rekey{Group: "G", KEK: d.HasArg("kek"), TEK: d.HasArg("tek")}
		case "clear":
			c = Clear{Now: d.HasArg("now")}
		case "clear-mismatch":
			c = ClearMismatch{Group: arg(0)}
		default:
			c = ClearStatistics{Group: "G"}
		}
		if err := b.s.Do(b.now, c); err != nil {
			b.say("%v", err)
		}
		b.drain()
	case "overheard": // member: every push so far, read with what it holds
		spis := slices.Sorted(maps.Keys(b.keks))
		for _, id := range slices.Sorted(maps.Keys(b.seqs)) {
			for _, spi := range spis {
				p, err := gdoi.OpenPush(b.keks[spi], b.lkh[arg(0)], []byte(b.seqs[id]), b.now, anything)
				switch {
				case err != nil:
				case p.Excluded:
					b.say("%s: a KEK that it cannot open", id)
				case p.Policy != nil && p.Policy.KEK != nil:
					b.say("%s: %s", id, b.name("KEK", p.Policy.KEK.SPI))
				}
			}
		}
	case "hold": // workers do not answer
		b.hold = true
	case "release":
		b.hold = false
		held := b.held
		b.held = nil
		for _, w := range held {
			b.answer(w)
			b.drain()
		}
	case "down":
		b.s.HandleDown(b.now, ike.Down{SA: b.sa})
		b.drain()
	case "disk":
		var keys []string
		for k := range b.disk {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			b.say("%s", k)
		}
	case "state":
		return b.state()
	default:
		d.Fatalf(b.t.(*testing.T), "unknown command")
	}
	return b.said()
}

// checkDisk holds a push that was sent against the record of its group: the number and what it announces are there.
func (b *bench) checkDisk(spi [16]byte, p *gdoi.Push) {
	for _, g := range b.s.sorted() {
		if g.kek == nil || g.kek.SPI != spi {
			continue
		}
		r := &reader{b: b.disk[g.key()]}
		st := r.state()
		if err := r.end(); err != nil {
			b.t.Fatalf("record of %s: %v", g.name, err)
		}
		if k := st.update.KEK; k == nil || k.SPI != spi || k.Seq < p.Seq {
			b.t.Errorf("push %d is sent and not on disk", p.Seq)
		}
	}
}

// checkWaiting counts what the server counts of a push by multicast, and sees that none is forgotten.
func (b *bench) checkWaiting() {
	for id, same := range b.s.pushes {
		for _, p := range same {
			if p.cast == nil {
				continue
			}
			waiting := 0
			for _, d := range p.open {
				if !d.reached {
					waiting++
				}
				if d.index >= 0 || d.sent != p.cast.sent {
					b.t.Errorf("push %d: a member's part goes its own way", id.seq)
				}
			}
			scheduled := p.cast.index >= 0
			if waiting != p.waiting || scheduled != (waiting == 0 && p.sealed != nil) || len(p.open) == 0 {
				b.t.Errorf("push %d: %d of %d are waited for, the server says %d; scheduled %t", id.seq, waiting, len(p.open), p.waiting, scheduled)
			}
		}
	}
}

// checkText looks for keys in a line for the log.
func (b *bench) checkText(text string) {
	var secrets []sa.Secret
	for _, k := range b.keks {
		secrets = append(secrets, k.Key, k.SigPrivate)
	}
	for _, g := range b.s.sorted() {
		for _, t := range g.teks {
			secrets = append(secrets, t.Key, t.AuthKey)
		}
	}
	for _, s := range secrets {
		if len(s) == 0 {
			continue // AES-GCM has no authentication key
		}
		if part := s[:8]; strings.Contains(text, string(part)) || strings.Contains(text, fmt.Sprintf("%x", []byte(part))) {
			b.t.Errorf("a key is in %q", text)
		}
	}
}

// checkSecrets looks for keys in the state.
func (b *bench) checkSecrets() {
	b.checkText(fmt.Sprintf("%v %+v %#v", b.s.State(), b.s.State(), b.s.State()))
}
