package member

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// zeros is a randomness that makes every jitter 0.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// conversation drives one member through its public methods and writes down what comes out.
type conversation struct {
	t      testing.TB
	m      *Member
	now    time.Time
	key    *rsa.PrivateKey
	keks   map[string]*sa.KEK
	pushes map[string][]byte
	names  map[uint32]string // of TEKs
	token  uint64            // of the last Begin
	sa     ike.SAID
	policy *gdoi.Policy // of the pull under way
	tree   *lkh.Tree    // of the key server
	leaf   uint16       // ours
	parts  [][]lkh.Update
	local  netip.AddrPort
	remote netip.AddrPort
}

func newConversation(t testing.TB, o Options) *conversation {
	c := &conversation{
		t: t, m: New(zeros{}, o), now: start,
		keks: map[string]*sa.KEK{}, pushes: map[string][]byte{}, names: map[uint32]string{},
		local: netip.MustParseAddrPort("192.0.2.1:848"),
	}
	c.key = readKey(t, "testdata/rsa2048.pem")
	return c
}

func readKey(t testing.TB, file string) *rsa.PrivateKey {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// kek returns the KEK called name: the same octets at every call.
func (c *conversation) kek(name string) *sa.KEK {
	if k := c.keks[name]; k != nil {
		return k
	}
	sum := sha256.Sum256([]byte("kek " + name))
	k := &sa.KEK{KeyBits: 256, Key: sum[:], SigHash: sa.SHA256, Ack: gdoi.AckKEKSHA256, Hard: c.now.Add(7200 * time.Second)}
	for i := range k.SPI {
		k.SPI[i] = sum[i] | 1
	}
	key := c.key
	var err error
	if k.SigPublic, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	k.SigPrivate = private
	c.keks[name] = k
	return k
}

// root makes the KEK called kek= the root of the tree.
func (c *conversation) root(d *datadriven.TestData) {
	k := c.kek(value(d, "kek", ""))
	data := c.tree.Root().Data
	copy(k.IV[:], data)
	k.Key, k.Ack = data[16:], gdoi.AckLKHSHA256
}

// pattern is randomness that is another each time, and the same in every run.
type pattern byte

func (n pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(n)*17 + byte(i) + 1
	}
	return len(b), nil
}

func spiOf(name string) uint32 {
	sum := sha256.Sum256([]byte("tek " + name))
	return uint32(sum[0])<<24 | 0x010000 | uint32(sum[1])<<8 | uint32(sum[2])
}

// windowed names a window if there is one.
func windowed(w time.Duration) string {
	if w == 0 {
		return ""
	}
	return fmt.Sprintf(" window=%v", w)
}

// tek makes a TEK from "T1/3600/A": name, seconds of life, and the letter of its traffic (or several, "AB"; a number after
// the letter gives that many policies). After that "gcm" is AES-GCM; "d3p100" a window of 100 ms; "iec" IEC 61850, "iec-gcm" that with AES-GCM, both with life 0
// for none and with an SA_ATD behind them if there is one.
func (c *conversation) tek(word string) sa.TEK {
	parts := strings.Split(word, "/")
	name, traffic := parts[0], "A"
	life := 3600
	if len(parts) > 1 {
		life = atoi(c.t, parts[1])
	}
	if len(parts) > 2 {
		traffic = parts[2]
	}
	sum := sha256.Sum256([]byte("key " + name))
	t := sa.TEK{SPI: spiOf(name), KeyBits: 256, Key: slices.Clone(sum[:]), AuthKey: slices.Clone(sum[:]), Hard: c.now.Add(time.Duration(life) * time.Second)}
	c.names[t.SPI] = name
	if len(parts) > 3 && parts[3] == "gcm" {
		t.Cipher, t.KeyBits, t.Key, t.AuthKey = sa.GCM, 128, t.Key[:20], nil
	}
	if len(parts) > 3 && strings.HasPrefix(parts[3], "d3p") {
		t.Window = time.Duration(atoi(c.t, parts[3][3:])) * time.Millisecond
	}
	if len(parts) > 3 && strings.HasPrefix(parts[3], "iec") {
		t.KeyBits, t.IEC61850 = 0, &sa.IEC61850{Selector: goose(traffic), Auth: sa.AuthHMACSHA256128, Enc: sa.EncCBC256}
		if parts[3] == "iec-gcm" {
			t.IEC61850.Auth, t.IEC61850.Enc, t.Key, t.AuthKey = sa.AuthNone, sa.EncGCM128, t.Key[:20], nil
		}
		if life == 0 {
			t.Hard = time.Time{}
		}
		if len(parts) > 4 {
			t.Activate = c.now.Add(time.Duration(atoi(c.t, parts[4])) * time.Second)
		}
		return t
	}
	if n, err := strconv.Atoi(traffic[1:]); err == nil {
		for i := range n {
			t.Policies = append(t.Policies, traffics(byte('A'+i)))
		}
		return t
	}
	for i := range len(traffic) {
		t.Policies = append(t.Policies, traffics(traffic[i]))
	}
	return t
}

// goose is RFC 8052's example, with a payload that differs by its text.
func goose(text string) sa.Selector {
	return sa.Selector{OID: "\x06\x0b\x2a\x86\x48\xce\x56\x83\xe3\x1a\x08\x01\x02", Payload: "\x04" + string([]byte{byte(len(text))}) + text}
}

func traffics(letter byte) sa.Policy {
	return sa.Policy{
		Source:      netip.PrefixFrom(netip.AddrFrom4([4]byte{10, letter, 0, 0}), 16),
		Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, letter, 0, 0}), 16),
	}
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func values(d *datadriven.TestData, key string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	return nil
}

func value(d *datadriven.TestData, key, otherwise string) string {
	if v := values(d, key); len(v) > 0 {
		return v[0]
	}
	return otherwise
}

// given makes the policy that the arguments kek=, seq=, multicast=, tek=(…), atd=, dtd= describe.
func (c *conversation) given(d *datadriven.TestData) *gdoi.Policy {
	p := &gdoi.Policy{}
	if k := value(d, "kek", ""); k != "" {
		p.KEK = c.kek(k).Clone()
		p.KEK.Seq = uint32(atoi(c.t, value(d, "seq", "0")))
		if life := value(d, "life", ""); life != "" {
			p.KEK.Hard = c.now.Add(time.Duration(atoi(c.t, life)) * time.Second)
		}
		if to := value(d, "multicast", ""); to != "" {
			p.KEK.Multicast = &sa.Multicast{Group: netip.MustParseAddrPort(to)}
		}
	}
	for _, w := range values(d, "tek") {
		p.TEKs = append(p.TEKs, c.tek(w))
	}
	if d.HasArg("lkh") {
		keys, err := lkh.NewKeys(c.tree.Path(c.leaf))
		if err != nil {
			c.t.Fatal(err)
		}
		p.LKH = keys
	}
	if n := value(d, "part", ""); n != "" {
		p.Updates = c.parts[atoi(c.t, n)]
	}
	for _, w := range values(d, "sender") {
		if p.SenderIDs == nil {
			p.SenderIDs = &gdoi.SenderIDs{Bits: 16}
		}
		p.SenderIDs.Values = append(p.SenderIDs.Values, uint32(atoi(c.t, w)))
	}
	p.ActivationDelay = time.Duration(atoi(c.t, value(d, "atd", "0"))) * time.Second
	p.DeactivationDelay = time.Duration(atoi(c.t, value(d, "dtd", "0"))) * time.Second
	return p
}

// push seals the push that the arguments describe under KEK under=.
func (c *conversation) push(d *datadriven.TestData) []byte {
	p := &gdoi.Push{Seq: uint32(atoi(c.t, value(d, "seq", "1"))), DeleteAll: d.HasArg("delete-all"), DeleteKEK: d.HasArg("delete-kek")}
	for _, n := range values(d, "delete") {
		if n == "0" {
			p.DeleteTEKs = append(p.DeleteTEKs, 0)
			continue
		}
		p.DeleteTEKs = append(p.DeleteTEKs, spiOf(n))
	}
	for _, n := range values(d, "delete-iec") {
		if n == "0" {
			p.Delete61850 = append(p.Delete61850, 0)
			continue
		}
		p.Delete61850 = append(p.Delete61850, spiOf(n))
	}
	if d.HasArg("kek") || d.HasArg("tek") {
		q := *d
		q.CmdArgs = slices.DeleteFunc(slices.Clone(d.CmdArgs), func(a datadriven.CmdArg) bool { return a.Key == "seq" })
		p.Policy = c.given(&q)
	}
	if !d.HasArg("forged") {
		return c.seal(value(d, "under", ""), p)
	}
	// A member who knows the KEK seals what it likes with a signature that it has heard.
	under := c.kek(value(d, "under", ""))
	heard := *p
	heard.Seq++
	sig, err := gdoi.Sign(gdoi.SignOp(under, gdoi.PushMessage(under, &heard, c.now, gdoi.Options{}), gdoi.Options{}))
	if err != nil {
		c.t.Fatal(err)
	}
	return gdoi.SealPush(under, gdoi.PushMessage(under, p, c.now, gdoi.Options{}), sig)
}

// arrives is the address that a datagram comes to: to=, or ours.
func (c *conversation) arrives(d *datadriven.TestData) netip.AddrPort {
	if to := value(d, "to", ""); to != "" {
		return netip.MustParseAddrPort(to)
	}
	return c.local
}

// seal finishes p under the KEK called name.
func (c *conversation) seal(name string, p *gdoi.Push) []byte {
	under := c.kek(name)
	msg := gdoi.PushMessage(under, p, c.now, gdoi.Options{})
	sig, err := gdoi.Sign(gdoi.SignOp(under, msg, gdoi.Options{}))
	if err != nil {
		c.t.Fatal(err)
	}
	return gdoi.SealPush(under, msg, sig)
}

func (c *conversation) since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return "+" + strconv.FormatFloat(t.Sub(start).Seconds(), 'f', -1, 64)
}

// drain writes down the outputs.
func (c *conversation) drain(b *strings.Builder) {
	for {
		o, ok := c.m.Next()
		if !ok {
			return
		}
		if _, ok := o.(ike.Created); ok {
			continue // so many as are installed next: see the engine's TestPullCounts
		}
		fmt.Fprintf(b, "%s ", c.since(c.now))
		switch o := o.(type) {
		case ike.Connect:
			fmt.Fprintf(b, "connect %s %s\n", o.Gateway, o.Remote)
		case ike.Begin:
			c.token, c.sa = o.Token, o.SA
			_, group, err := gdoi.ParsePull1(o.First, o.Payloads, gdoi.Options{})
			name := fmt.Sprint(group.ID)
			if group.Selector != (sa.Selector{}) {
				name = fmt.Sprintf("%q", group.Selector)
			}
			fmt.Fprintf(b, "begin sa=%d exchange=%s group=%s err=%v\n", o.SA, o.Exchange, name, err)
		case ike.Reply:
			asked, err := gdoi.ParsePull3(o.First, o.Payloads)
			fmt.Fprintf(b, "reply sa=%d msgid=%d last=%v err=%v", o.SA, o.MsgID, o.Last, err)
			if asked > 0 {
				fmt.Fprintf(b, " sender-ids=%d", asked)
			}
			fmt.Fprintln(b)
		case ike.Abort:
			fmt.Fprintf(b, "abort sa=%d msgid=%d token=%v\n", o.SA, o.MsgID, o.Token != 0)
		case ike.Delete:
			fmt.Fprintf(b, "delete-ike %s", o.Gateway)
			if o.Remote.IsValid() {
				fmt.Fprintf(b, " %s", o.Remote)
			}
			fmt.Fprintln(b)
		case turn.InstallTEK:
			fmt.Fprintf(b, "install %s %s activate=%s hard=%s policies=%d%s\n", o.VPN, c.name(o.TEK.SPI), c.since(o.TEK.Activate), c.since(o.TEK.Hard), len(o.TEK.Policies), windowed(o.TEK.Window))
			if o.TEK.Counts() {
				for _, s := range o.Senders {
					fmt.Fprintf(b, "    sender %d of %d bits\n", s.Value, s.Bits)
				}
			}
			want := sha256.Sum256([]byte("key " + c.name(o.TEK.SPI)))
			if !bytes.Equal(o.TEK.Key, want[:len(o.TEK.Key)]) {
				c.t.Errorf("%s is installed with another key", c.name(o.TEK.SPI))
			}
		case turn.RemoveTEK:
			fmt.Fprintf(b, "remove %s %s\n", o.VPN, c.name(o.SPI))
		case turn.Transmit:
			a, err := gdoi.ParseAck(o.Datagram)
			good := false
			for _, k := range c.keks {
				var leaf sa.Secret
				if c.tree != nil && c.tree.Has(c.leaf) {
					leaf = c.tree.Path(c.leaf)[0].Data[16:]
				}
				good = good || k.SPI == a.SPI && a.Verify(gdoi.AckKey(k, leaf, gdoi.Options{}))
			}
			fmt.Fprintf(b, "ack seq=%d member=%s %s->%s good=%v err=%v\n", a.Seq, a.Member, o.Local, o.Remote, good, err)
		case turn.Listen:
			fmt.Fprintf(b, "listen %v\n", o.Groups)
		case turn.Notify:
			fmt.Fprintf(b, "notify %s: %s\n", o.Code, o.Text)
		default:
			c.t.Errorf("unexpected output %T", o)
		}
	}
}

// message is one of the pull under way, without its contents.
func (c *conversation) message() ike.Message {
	return ike.Message{SA: c.sa, Local: c.local, Remote: c.remote, Exchange: isakmp.ExchangePull, MsgID: 7, Token: c.token, Initiator: true}
}

func (c *conversation) name(spi uint32) string {
	if n := c.names[spi]; n != "" {
		return n
	}
	return fmt.Sprintf("%08x", spi)
}

// advance lets time pass, stopping at every deadline on the way.
func (c *conversation) advance(b *strings.Builder, d time.Duration) {
	end := c.now.Add(d)
	for range 10_000 {
		next, ok := c.m.Deadline()
		if !ok || next.After(end) {
			c.now = end
			return
		}
		if next.After(c.now) {
			c.now = next
		}
		c.m.HandleTimeout(c.now)
		c.drain(b)
	}
	c.t.Fatalf("the deadline stands still at %s", c.since(c.now))
}

// plan reads lines "gateway NAME ADDR…", "vpn NAME GATEWAY GROUP [probe] [goose]", "no-vpn NAME", "no-gateway NAME", "effect KIND VPN".
func (c *conversation) plan(text string) *step.Plan {
	p := &step.Plan{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		w := strings.Fields(line)
		switch w[0] {
		case "gateway":
			g := &step.Gateway{Name: w[1], Side: step.Member, Proposals: []step.Proposal{{Lifetime: time.Hour}}}
			for _, a := range w[2:] {
				g.Remote = append(g.Remote, netip.MustParseAddr(a))
			}
			p.Gateways = append(p.Gateways, step.GatewayChange{New: g})
		case "vpn":
			v := &step.VPN{Name: w[1], Gateway: w[2], Group: uint32(atoi(c.t, w[3])), RecoveryProbe: slices.Contains(w, "probe")}
			if slices.Contains(w, "goose") {
				v.Selector = goose("A")
			}
			p.VPNs = append(p.VPNs, step.VPNChange{New: v})
		case "no-vpn":
			p.VPNs = append(p.VPNs, step.VPNChange{Old: &step.VPN{Name: w[1]}})
		case "no-gateway":
			p.Gateways = append(p.Gateways, step.GatewayChange{Old: &step.Gateway{Name: w[1], Side: step.Member}})
		case "effect":
			p.Effects = append(p.Effects, step.Effect{Kind: step.Kind(w[1]), VPN: w[2]})
		default:
			c.t.Fatalf("plan line %q", line)
		}
	}
	return p
}

func (c *conversation) state(b *strings.Builder) {
	for _, v := range c.m.State().VPNs {
		fmt.Fprintf(b, "%s group=%d up=%v phase=%s", v.Name, v.Group, v.Up, v.Phase)
		if v.Asking.IsValid() {
			fmt.Fprintf(b, " asking=%s", v.Asking)
		}
		fmt.Fprintf(b, " register-at=%s rekey-needed=%v", c.since(v.RegisterAt), v.RekeyNeeded)
		if v.DownReason != "" {
			fmt.Fprintf(b, " down=%q", v.DownReason)
		}
		fmt.Fprintln(b)
		if v.KEK != nil {
			fmt.Fprintf(b, "  kek seq=%d soft=%s hard=%s", v.KEK.Seq, c.since(v.KEK.Soft), c.since(v.KEK.Hard))
			if v.KEK.Hierarchy > 0 {
				fmt.Fprintf(b, " hierarchy=%d", v.KEK.Hierarchy)
			}
			fmt.Fprintln(b)
		}
		for _, t := range v.TEKs {
			what := ""
			if t.IEC61850 != nil {
				what = " " + t.IEC61850.Selector.String()
			}
			what += windowed(t.Window)
			fmt.Fprintf(b, "  tek %s"+what+" activate=%s soft=%s hard=%s replaced=%v remove-at=%s\n", c.name(t.SPI), c.since(t.Activate), c.since(t.Soft), c.since(t.Hard), t.Replaced, c.since(t.RemoveAt))
		}
		fmt.Fprintf(b, "  %s\n", strings.Trim(fmt.Sprintf("%+v", v.Stats), "{}"))
	}
	fmt.Fprintf(b, "strays %+v\n", c.m.State().Strays)
}

func (c *conversation) step(d *datadriven.TestData) string {
	var b strings.Builder
	switch d.Cmd {
	case "plan":
		p := c.plan(d.Input)
		if err := c.m.Prepare(p); err != nil {
			return err.Error() + "\n"
		}
		c.m.Configure(c.now, p)
		for _, e := range p.Effects {
			c.m.Apply(c.now, e)
			c.drain(&b)
		}
		c.m.Forget(c.now, p)
	case "move": // to another address of ours, for what comes next
		c.local = netip.MustParseAddrPort(d.CmdArgs[0].Key)
	case "up":
		c.remote = netip.AddrPortFrom(netip.MustParseAddr(value(d, "remote", "10.0.0.1")), 848)
		c.m.HandleUp(c.now, ike.Up{SA: ike.SAID(atoi(c.t, value(d, "sa", "1"))), Gateway: value(d, "gateway", "G"), Local: c.local, Remote: c.remote, Initiator: true})
	case "failed":
		f := ike.Failed{Gateway: value(d, "gateway", "G"), Remote: netip.MustParseAddr(value(d, "remote", "10.0.0.1")), Reason: "no answer"}
		if d.HasArg("by-us") {
			f.Reason = ike.DeletedByUs
		}
		if d.HasArg("pull") {
			f.SA, f.Token = c.sa, c.token
		}
		c.m.HandleFailed(c.now, f)
	case "down":
		reason := "lifetime"
		if d.HasArg("by-peer") {
			reason = ike.DeletedByPeer
		}
		if d.HasArg("by-us") {
			reason = ike.DeletedByUs
		}
		c.m.HandleDown(c.now, ike.Down{SA: ike.SAID(atoi(c.t, value(d, "sa", "1"))), Gateway: value(d, "gateway", "G"), Reason: reason})
	case "pull2", "pull4":
		msg := c.message()
		if d.Cmd == "pull2" {
			c.policy = c.given(d)
			msg.Number, msg.First = 2, isakmp.PayloadNONCE
			msg.Payloads = gdoi.AppendPull2(nil, bytes.Repeat([]byte{1}, 32), c.policy, c.now, gdoi.Options{})
		} else {
			msg.Number, msg.First = 4, gdoi.Pull4First(c.policy)
			msg.Payloads = gdoi.AppendPull4(nil, c.policy, gdoi.Options{})
		}
		if d.HasArg("3des") { // KEK_ALGORITHM, attribute 2, is AES: 3
			at := bytes.Index(msg.Payloads, []byte{0x80, 2, 0, 3})
			msg.Payloads[at+3] = 2
		}
		if d.HasArg("cut") {
			msg.Payloads = msg.Payloads[:len(msg.Payloads)-1]
		}
		c.m.HandleMessage(c.now, msg)
	case "tree": // a key server's, with us and others in it; its root is the KEK that is named
		c.tree, _ = lkh.New(256, 4, zeros{})
		for i := range 3 {
			leaf, _, err := c.tree.Join(pattern(i))
			if err != nil {
				c.t.Fatal(err)
			}
			if i == 0 {
				c.leaf = leaf
			}
		}
		c.root(d)
	case "change": // without whom, and the KEK that is the root then; its updates are parts 0, 1, ...
		var out []uint16
		if w := value(d, "without", ""); w == "us" {
			out = append(out, c.leaf)
		} else if w != "" {
			out = append(out, c.leaf+2)
		}
		_, updates, err := c.tree.Change(pattern(9), 0, out...)
		if err != nil {
			c.t.Fatal(err)
		}
		c.parts = nil
		for i := range updates {
			c.parts = append(c.parts, updates[i:i+1])
		}
		c.root(d)
		fmt.Fprintf(&b, "%d parts\n", len(c.parts))
	case "push":
		b2 := c.push(d)
		c.pushes[value(d, "as", "last")] = b2
		if d.HasArg("hold") {
			break
		}
		c.m.HandleDatagram(c.now, c.arrives(d), c.remote, b2)
	case "deliver":
		b2 := slices.Clone(c.pushes[value(d, "as", "last")])
		if d.HasArg("flip") {
			i := atoi(c.t, value(d, "flip", "0"))
			b2[(i+len(b2))%len(b2)] ^= 1
		}
		from := c.remote
		if a := value(d, "from", ""); a != "" {
			from = netip.MustParseAddrPort(a)
		}
		c.m.HandleDatagram(c.now, c.arrives(d), from, b2)
	case "advance":
		dur, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			c.t.Fatal(err)
		}
		c.advance(&b, dur)
	case "clear-group":
		c.m.Do(c.now, ClearGroup{VPN: value(d, "vpn", ""), GroupID: uint32(atoi(c.t, value(d, "group", "0")))})
	case "clear-ipsec":
		c.m.Do(c.now, ClearIPsec{VPN: value(d, "vpn", "")})
	case "clear-statistics":
		c.m.Do(c.now, ClearStatistics{VPN: value(d, "vpn", "")})
	case "senders-low":
		c.m.Do(c.now, SendersLow{VPN: value(d, "vpn", "V")})
	case "recover":
		c.m.Do(c.now, Recover{VPN: value(d, "vpn", "V")})
	case "state":
		c.state(&b)
	default:
		c.t.Fatalf("%s: no command %q", d.Pos, d.Cmd)
	}
	c.drain(&b)
	if b.Len() == 0 {
		return "ok\n"
	}
	return b.String()
}

// TestConversations runs testdata/*.txt, but for attacks, which have tests of their own. Rewrite what is expected with -rewrite, and
// read the difference.
func TestConversations(t *testing.T) { converse(t, "testdata") }

func converse(t *testing.T, where string) {
	datadriven.Walk(t, where, func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") || path != where && strings.HasPrefix(path, "testdata/attack-") {
			return
		}
		var c *conversation
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "member" {
				o := Options{}
				if j := value(d, "ack-jitter", ""); j != "" {
					o.AckJitter = time.Duration(atoi(t, j)) * time.Second
				}
				c = newConversation(t, o)
				return "ok\n"
			}
			c.t = t
			return c.step(d)
		})
	})
}

// Replayed PUSH, and what is reordered, comes before its time, is far ahead, or is under an old KEK.
func TestAttackPUSHReplay(t *testing.T) { converse(t, "testdata/attack-push-replay.txt") }

// PUSH forgery, by a member of the group or by a stranger: no state moves.
func TestAttackPUSHForgery(t *testing.T) { converse(t, "testdata/attack-push-forgery.txt") }

// noRandomness fails, as a broken source would.
type noRandomness struct{}

func (noRandomness) Read([]byte) (int, error) { return 0, errors.New("dry") }
