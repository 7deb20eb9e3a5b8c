package server

import (
	"testing"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/turn"
)

// Members that speak in different ways get one push each in their way, under one number; it is signed once for each way, is so
// after a restart, and each way's acknowledgement counts.
func TestPushForEachWayToSpeak(t *testing.T) {
	b := gcmBench(t, "G members=m1,m2,m3 sas=S")
	for _, m := range []string{"m1", "m2", "m3"} {
		b.pull(m, 1, 0)
	}
	odd := step.Quirks{RawSignature: true, SAKReserved6: true, SwappedAddresses: true, PaddedLength: true, AckShortL: true}
	plan := &step.Plan{MemberLimit: 5, Commit: 2, Gateways: []step.GatewayChange{
		{New: &step.Gateway{Name: "m1", Side: step.Server}},
		{New: &step.Gateway{Name: "m2", Side: step.Server, Quirks: odd}},
		{New: &step.Gateway{Name: "m3", Side: step.Server, Quirks: odd}},
	}}
	b.s.Configure(b.now, plan)
	b.s.Forget(b.now, plan)
	b.hold = true
	if err := b.s.Do(b.now, Rekey{Group: "G", TEK: true}); err != nil {
		t.Fatal(err)
	}
	b.drain()
	if len(b.held) != 2 {
		t.Fatalf("%d signatures asked for, want one for each way to speak", len(b.held))
	}
	// A crash before they are there, and another life.
	b.hold, b.held = false, nil
	b.fresh()
	if err := b.s.Restore(b.now, b.disk); err != nil {
		t.Fatal(err)
	}
	conf := b.config["G"]
	plan.Commit, plan.Groups = b.s.Applied(), []step.GroupChange{{New: &conf}}
	b.s.Configure(b.now, plan)
	b.s.Forget(b.now, plan)
	got := map[string]string{}
	for {
		o, ok := b.s.Next()
		if !ok {
			break
		}
		switch o := o.(type) {
		case turn.Work:
			b.answer(o)
		case turn.Transmit:
			got[memberName(o.Remote)] = string(o.Datagram)
		}
	}
	if len(got) != 3 || got["m1"] == got["m2"] || got["m2"] != got["m3"] {
		t.Fatalf("%d members are told; m1 as m2: %v, m2 as m3: %v", len(got), got["m1"] == got["m2"], got["m2"] == got["m3"])
	}
	k := b.s.groups["G"].kek
	for name, q := range map[string]step.Quirks{"m1": {}, "m2": odd, "m3": odd} {
		o := gdoi.Speak(q)
		reader := k.Clone()
		reader.Seq = 0
		p, err := gdoi.OpenPush(reader, nil, []byte(got[name]), b.now, o)
		if err != nil || p.Seq != 1 || len(p.Policy.TEKs) != 1 || p.Policy.TEKs[0].Policies[0].Source.String() != "172.16.0.0/12" {
			t.Fatalf("%s reads %+v, %v", name, p, err)
		}
		ack := func(o gdoi.Options) uint64 {
			b.s.HandleDatagram(b.now, us, memberAddr(t, name), gdoi.AppendAck(nil, gdoi.Ack{SPI: k.SPI, Seq: 1, Member: memberAddr(t, name).Addr()}, gdoi.AckKey(k, nil, o)))
			return b.s.State().Groups[0].Statistics.PushAcknowledged
		}
		before := b.s.State().Groups[0].Statistics.PushAcknowledged
		if q == odd && ack(gdoi.Options{}) != before {
			t.Errorf("%s: an acknowledgement in another way counts", name)
		}
		if ack(o) != before+1 {
			t.Errorf("%s: its acknowledgement does not count", name)
		}
	}
	if n := len(b.s.pushes); n != 0 {
		t.Errorf("%d pushes remain", n)
	}
}

// Options are on disk as a number that gives them back.
func TestOptionsBits(t *testing.T) {
	for n := range uint16(1 << 11) {
		if got := gdoi.OptionsOf(n).Bits(); got != n {
			t.Fatalf("%#x comes back as %#x", n, got)
		}
	}
}
