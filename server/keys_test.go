package server

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

// The formula of doc.go, at the ends of Junos's ranges: a successor is always made, and always before the end.
func TestMargin(t *testing.T) {
	for _, c := range []struct{ lifetime, room, want time.Duration }{
		{time.Hour, 30 * time.Second, 6 * time.Minute},
		{180 * time.Second, 45 * time.Second, 45 * time.Second},
		{86400 * time.Second, 61 * time.Minute, 2*time.Hour + 24*time.Minute},
		{300 * time.Second, 61 * time.Minute, 150 * time.Second},
	} {
		if got := margin(c.lifetime, c.room); got != c.want {
			t.Errorf("margin(%v, %v) = %v, want %v", c.lifetime, c.room, got, c.want)
		}
	}
}

// What doc.go says it takes to tell everybody: two pushes to a member, one after the other, and on a root its cluster before.
func TestRoom(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"G":                                     time.Minute,
		"G kek=none":                            time.Minute,
		"G retries=0 period=2":                  20 * time.Second, // an acknowledgement is waited for so long (RFC 8263 section 6)
		"G retries=60 period=60":                2*time.Hour + 2*time.Minute,
		"G role=root-server peers=P":            time.Minute + 20*time.Second,
		"G role=sub-server peers=R":             time.Minute,
		"G retries=1 period=20 role=standalone": 80 * time.Second,
	} {
		if got := (&group{conf: parseGroup(t, line)}).room(); got != want {
			t.Errorf("%s: room %v, want %v", line, got, want)
		}
	}
}

func TestPrepareNamesWhatItRefuses(t *testing.T) {
	s := New(zeros{}, Options{})
	group := func(change func(*step.Group)) *step.Plan {
		g := parseGroup(t, "G members=m1 sas=S")
		change(&g)
		return &step.Plan{MemberLimit: 5, Groups: []step.GroupChange{{New: &g}}}
	}
	// counting has a cipher whose nonces count, and 256 sender IDs.
	counting := func(role step.Role, members, peers int) func(*step.Group) {
		return func(g *step.Group) {
			g.SAs[0].Cipher, g.SenderIDBits, g.Role = sa.GCM, 8, role
			g.Members, g.Peers = make([]string, members), make([]string, peers)
		}
	}
	for _, c := range []struct {
		want string
		plan *step.Plan
	}{
		{"", group(func(*step.Group) {})},
		{"", group(func(g *step.Group) { g.SAs, g.Communication = nil, nil })},
		{"", group(func(g *step.Group) { g.AntiReplayWindow = sa.MaxWindow })},
		{"anti-replay window 1m0.001s", group(func(g *step.Group) { g.AntiReplayWindow = sa.MaxWindow + time.Millisecond })},
		{"", group(func(g *step.Group) { g.AntiReplayWindow, g.NoAntiReplay = sa.MaxWindow+1, true })},
		{"group G: server-member-communication certificate: not yet supported", group(func(g *step.Group) { g.Communication.Certificate = "C" })},
		{"group G: ipsec-sa S: AES with a key of 64 bits", group(func(g *step.Group) { g.SAs[0].KeyBits = 64 })},
		{"do not fit a GDOI message", group(func(g *step.Group) {
			for len(g.SAs) < 100 {
				g.SAs = append(g.SAs, g.SAs[0])
			}
		})},
		{"do not fit a GDOI message", group(func(g *step.Group) {
			g.SAs[0].Policies = make([]sa.Policy, 1000)
		})},
		{"", group(counting(step.Standalone, 128, 0))},
		{"group G: sender-id-bits: 129 member gateways need more than 8 bits: each registration uses one up", group(counting(step.Standalone, 129, 0))},
		{"", group(counting(step.RootServer, 25, blocksOfRun-1))},
		{"group G: sender-id-bits: 26 member gateways need more than 8 bits: each registration uses one up, and up to 5 servers", group(counting(step.RootServer, 26, 4))},
		{"group G: sender-id-bits: 26 member gateways", group(counting(step.SubServer, 26, 1))},
		{"group G: server-cluster ike-gateway: 16 sub-servers are too many for aes-gcm", group(counting(step.RootServer, 1, blocksOfRun))},
		{"", group(func(g *step.Group) {
			counting(step.RootServer, 200, blocksOfRun)(g)
			g.SAs[0].Cipher = sa.CBC
		})},
	} {
		err := s.Prepare(c.plan)
		var refused *step.Refusal // a commit finds the statement by it
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.As(err, &refused)) {
			t.Errorf("prepare: %v, want %q", err, c.want)
		}
	}
}

// A signature key that could not be made is asked for again; until then nobody is served and nothing else happens.
func TestSignatureKeyFails(t *testing.T) {
	b := newBench(t)
	b.hold = true
	commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek"}, parseGroup(t, "G members=m1 sas=S"))
	if len(b.held) != 1 {
		t.Fatalf("%d Works, want one for the key", len(b.held))
	}
	b.s.HandleResult(b.now, turn.Result{ID: b.held[0].ID, Err: errors.New("no entropy")})
	b.drain()
	if got := b.pull("m1", 1, 0); got != "no answer" {
		t.Errorf("a member without a KEK got %q", got)
	}
	b.hold = false
	b.advance(workRetry)
	if got := b.pull("m1", 1, 0); !strings.HasPrefix(got, "KEK1 seq 0") {
		t.Errorf("a member got %q", got)
	}
	// A key for a group that is gone by then, or for nobody, is dropped.
	b.hold, b.held = true, nil
	commit(t, b, 2, []string{"1.4 G delete-keys", "1.4 G generate-kek"}, parseGroup(t, "G members=m1 sas=S id=2"))
	commit(t, b, 3, []string{"1.3 G delete-keys"})
	for _, w := range b.held {
		b.answer(w)
	}
	b.s.HandleResult(b.now, turn.Result{ID: 99, Value: signer(0)})
	b.drain()
	if len(b.s.work) != 0 || len(b.disk) != 1 {
		t.Errorf("%d Works and %d records left", len(b.s.work), len(b.disk))
	}
}

// Keys that are deleted are gone from memory: only a push under way keeps a copy of the KEK, until it is sealed (T11).
func TestAttackKeyHygiene(t *testing.T) {
	b := newBench(t)
	conf := parseGroup(t, "G members=m1 sas=S")
	commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek"}, conf)
	b.pull("m1", 1, 0)
	g := b.s.groups["G"]
	kek, tek, private := g.kek, g.teks[0], g.sig.Private
	b.hold = true
	commit(t, b, 2, []string{"1.3 G send-delete-all-to-members", "1.3 G delete-keys"})
	zero := func(what string, s sa.Secret) {
		t.Helper()
		if !s.Equal(make(sa.Secret, len(s))) || len(s) == 0 {
			t.Errorf("%s is still there", what)
		}
	}
	zero("the KEK", kek.Key)
	zero("its signature key", kek.SigPrivate)
	zero("the group's signature key", private)
	zero("the TEK", tek.Key)
	zero("its authentication key", tek.AuthKey)
	p := b.s.leaving[0].pushes[0]
	copied := p.kek
	b.hold = false
	b.answer(b.held[0])
	b.drain()
	zero("the push's KEK", copied.Key)
	zero("the push's signature key", copied.SigPrivate)
	ackKey := p.ackKey
	b.ack("m1", "KEK1/1", nil)
	zero("the acknowledgement key", ackKey)
}

// What is sent and received under a KEK is counted: pushes, repeated ones too, and those acknowledgements that are waited for.
func TestKEKTraffic(t *testing.T) {
	b := newBench(t)
	commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek"}, parseGroup(t, "G members=m1 sas=S window=100"))
	b.pull("m1", 1, 0)
	_ = b.s.Do(b.now, Rekey{Group: "G", TEK: true})
	b.drain()
	b.advance(10 * time.Second)
	b.ack("m1", "KEK1/1", nil)
	b.ack("m1", "KEK1/1", nil)
	g := b.s.State().Groups[0]
	if k := g.KEK; k.Packets != 2 || k.Bytes == 0 || k.InPackets != 1 || k.InBytes == 0 || k.InBytes >= k.Bytes {
		t.Errorf("%d pushes of %d octets, %d acknowledgements of %d", k.Packets, k.Bytes, k.InPackets, k.InBytes)
	}
	if g.Window != 100*time.Millisecond {
		t.Errorf("window %v", g.Window)
	}
	_ = b.s.Do(b.now, ClearStatistics{})
	if k := b.s.State().Groups[0].KEK; k.Packets+k.Bytes+k.InPackets+k.InBytes != 0 {
		t.Errorf("after a clear: %+v", k)
	}
}
