package server

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
)

// TestAttackPULLReplay: "The GCKS MUST NOT change state before a good message 3" (RFC 6407 section 7.2.5): message 1, repeated or
// in any number, takes no sender ID and no leaf of the hierarchy, and a message 3 takes them once, whatever is repeated after it.
func TestAttackPULLReplay(t *testing.T) {
	b := gcmBench(t, "G members=m1,m2 sas=S gcm lkh")
	g := b.s.groups["G"]
	counts := func() string {
		return fmt.Sprint(g.senders.next, g.lkh.tree.Members(), len(g.members), len(b.disk))
	}
	before := counts()
	message := func(id ike.SAID, mid uint32, number int) *ike.Reply {
		m := ike.Message{
			SA: id, Gateway: "m1", Local: us, Remote: memberAddr(t, "m1"), Exchange: isakmp.ExchangePull, MsgID: mid, Number: number,
		}
		if number == 1 {
			m.First, m.Payloads = isakmp.PayloadNONCE, gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: 1}, gdoi.Options{})
		}
		return b.message(m)
	}
	for range 3 {
		message(1, 7, 1)
	}
	// Parallel pulls of one peer are bounded, and so is what they leave behind.
	answered := 0
	for mid := range uint32(100) {
		if message(2, mid, 1) != nil {
			answered++
		}
	}
	if answered != maxPullsPerSA || len(b.s.pulls) != maxPullsPerSA+1 {
		t.Errorf("%d answered, %d wait; want %d for each IKE SA", answered, len(b.s.pulls), maxPullsPerSA)
	}
	// Of an exchange that there is not, or that was refused.
	if message(3, 7, 3) != nil || message(2, 99, 3) != nil {
		t.Error("a message 3 without a message 1 was answered")
	}
	if after := counts(); after != before {
		t.Errorf("state moved: %s, was %s", after, before)
	}
	if message(1, 7, 3) == nil {
		t.Fatal("message 3 was not answered")
	}
	once := counts()
	// Package ike answers a repetition; one that reaches us all the same finds no exchange.
	for range 3 {
		if message(1, 7, 3) != nil {
			t.Error("message 3 was answered again")
		}
	}
	if after := counts(); after != once {
		t.Errorf("state moved: %s, was %s", after, once)
	}
	b.advance(pullTimeout + time.Second)
	if len(b.s.pulls) != 0 || len(b.s.pullQueue) != 0 {
		t.Errorf("%d pulls and %d places in their queue remain", len(b.s.pulls), len(b.s.pullQueue))
	}
	if after := counts(); after != once {
		t.Errorf("state moved: %s, was %s", after, once)
	}
}

// All peers together are bounded too, and one more is refused without a trace.
func TestAttackPULLFlood(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S")
	open := func(id ike.SAID) bool {
		return b.message(ike.Message{
			SA: id, Gateway: "m1", Local: us, Remote: memberAddr(t, "m1"), Exchange: isakmp.ExchangePull, MsgID: 7, Number: 1,
			First: isakmp.PayloadNONCE, Payloads: gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: 1}, gdoi.Options{}),
		}) != nil
	}
	for i := range maxPulls {
		if !open(ike.SAID(i + 1)) {
			t.Fatalf("pull %d is not answered", i)
		}
	}
	for i := range 1000 {
		if open(ike.SAID(maxPulls + i + 1)) {
			t.Fatal("one too many is answered")
		}
	}
	if len(b.s.pulls) != maxPulls || len(b.s.pullQueue) != maxPulls {
		t.Errorf("%d pulls, %d in the queue", len(b.s.pulls), len(b.s.pullQueue))
	}
}

// Rogue identity: who may have a group's keys is decided by the gateway that phase 1 has authenticated, whatever group or address a
// message names; and one that is no member of the group is answered as one who asks for no group at all, which is not.
func TestAttackRogueGCKSMember(t *testing.T) {
	b := newBench(t)
	groups := map[string]step.Group{"G": parseGroup(t, "G id=1 members=m1 sas=S"), "H": parseGroup(t, "H id=2 members=m2 sas=S")}
	if err := b.commit(1, groups, []step.Effect{
		{Row: "1.14", Group: "G", Kind: step.GenerateKEK}, {Row: "1.14", Group: "G", Kind: step.GenerateTEK},
		{Row: "1.14", Group: "H", Kind: step.GenerateKEK}, {Row: "1.14", Group: "H", Kind: step.GenerateTEK},
	}); err != nil {
		t.Fatal(err)
	}
	ask := func(gateway string, from string, group uint32, sa ike.SAID, number int) *ike.Reply {
		m := ike.Message{
			SA: sa, Gateway: gateway, Local: us, Remote: memberAddr(t, from), Exchange: isakmp.ExchangePull, MsgID: 7, Number: number,
		}
		if number == 1 {
			m.First, m.Payloads = isakmp.PayloadNONCE, gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: group}, gdoi.Options{})
		}
		return b.message(m)
	}
	for _, c := range []struct {
		gateway, from string
		group         uint32
		ok            bool
	}{
		{"m1", "m1", 1, true},
		{"m2", "m1", 1, false}, // at the address of a member
		{"m2", "m2", 1, false}, // a member of another group
		{"m3", "m1", 1, false}, // a gateway of no group
		{"m1", "m1", 3, false}, // no group
		{"m1", "m2", 1, true},  // an address is no identity
	} {
		if got := ask(c.gateway, c.from, c.group, ike.SAID(50), 1) != nil; got != c.ok {
			t.Errorf("%s from the address of %s asks for group %d: answered %v", c.gateway, c.from, c.group, got)
		}
	}
	// The third message of one gateway's exchange, from another.
	if ask("m1", "m1", 1, 60, 1) == nil {
		t.Fatal("not answered")
	}
	if ask("m2", "m2", 1, 60, 3) != nil || len(b.s.groups["G"].members) != 0 {
		t.Error("another gateway went on with the exchange")
	}
}
