package ike

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"gvpn/isakmp"
	"gvpn/sa"
)

// Known answers of one phase 1 and one GROUPKEY-PULL: AES-256-CBC, SHA-256, group 14, pre-shared key. A second program
// computed them too, and the one that made them has spoken to three other implementations.
func knownAnswers(t *testing.T) (bin func(string) []byte, psk string) {
	t.Helper()
	src, err := os.ReadFile("testdata/kat.json")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]string
	if err := json.Unmarshal(src, &m); err != nil {
		t.Fatal(err)
	}
	return func(name string) []byte {
		b, err := hex.DecodeString(m[name])
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		return b
	}, m["psk"]
}

func wantOctets(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n got %x\nwant %x", what, got, want)
	}
}

func TestKnownKeys(t *testing.T) {
	bin, psk := knownAnswers(t)
	gxi, err := DHPublic(14, bin("xi"))
	if err != nil {
		t.Fatal(err)
	}
	wantOctets(t, "g^xi", gxi, bin("gxi"))
	gxr, _ := DHPublic(14, bin("xr"))
	wantOctets(t, "g^xr", gxr, bin("gxr"))
	shared, err := DHShared(14, bin("xi"), gxr)
	if err != nil {
		t.Fatal(err)
	}
	wantOctets(t, "g^xy", shared, bin("gxy"))
	ck := cookies{[8]byte(bin("ci")), [8]byte(bin("cr"))}
	s := suite{hash: sa.SHA256, bits: 256, group: 14}
	k, err := deriveKeys(s, sa.Secret(psk), bin("ni"), bin("nr"), shared, ck)
	if err != nil {
		t.Fatal(err)
	}
	wantOctets(t, "SKEYID", k.skeyid, bin("skeyid"))
	wantOctets(t, "SKEYID_d", k.d, bin("skeyid_d"))
	wantOctets(t, "SKEYID_a", k.a, bin("skeyid_a"))
	wantOctets(t, "SKEYID_e", k.e, bin("skeyid_e"))
	iv := s.firstIV(gxi, gxr)
	wantOctets(t, "IV", iv[:], bin("iv"))
	last := s.exchangeIV([16]byte(bin("iv_p1_last")), 0xa1b2c3d4)
	wantOctets(t, "first IV of the pull", last[:], bin("pull_first_iv"))
	skeyid, d := k.skeyid, k.d
	k.zero()
	if !zero(skeyid) || !zero(d) || !zero(k.a) || !zero(k.e) || k.seed != nil || k.made != nil {
		t.Error("keys outlive zero")
	}
}

// dice gives the octets of the known answers in the order in which an endpoint draws them.
type dice struct {
	t *testing.T
	b []byte
}

func (d *dice) Read(b []byte) (int, error) {
	if len(d.b) < len(b) {
		d.t.Fatalf("%d octets drawn, %d left", len(b), len(d.b))
	}
	d.b = d.b[copy(b, d.b):]
	return len(b), nil
}

// The whole way: two endpoints with the known randomness send the known datagrams.
func TestKnownDatagrams(t *testing.T) {
	bin, _ := knownAnswers(t)
	w := newWorld(t)
	join := func(names ...string) *dice {
		d := &dice{t: t}
		for _, n := range names {
			if n == "secret" {
				d.b = append(d.b, make([]byte, 32)...)
				continue
			}
			d.b = append(d.b, bin(n)...)
		}
		return d
	}
	w.a.e = New(join("ci", "xi", "ni", "pull_mid"), Options{WorkBase: 1 << 56})
	// A responder's cookie says which slot it is of, and the one known is of this; the rest of it is put in for what was made.
	w.b.e = New(join("secret", "nr", "xr"), Options{WorkBase: 1 << 56})
	w.b.e.half.open()
	for range 0x2221 {
		w.b.e.half.slots = append(w.b.e.half.slots, &slot{})
	}
	w.net = func(d wire) []wire {
		if len(w.sent) == 2 {
			if [2]byte(d.b[8:10]) != [2]byte(bin("cr")) {
				t.Errorf("slot %x", d.b[8:10])
			}
			w.b.e.half.slots[0x2221].cookie = [8]byte(bin("cr"))
			copy(d.b[8:], bin("cr"))
		}
		return []wire{d}
	}
	w.a.e.SetGateway(w.now, gatewayTo(addrB))
	w.b.e.SetGateway(w.now, gatewayTo(addrA))
	// The known messages are without INITIAL-CONTACT.
	w.a.e.gateways["peer"].met(addrB.Addr())
	w.b.e.gateways["peer"].met(addrA.Addr())
	w.connect()
	if len(w.sent) != 6 {
		t.Fatalf("%d datagrams", len(w.sent))
	}
	m, err := readSA(isakmp.PayloadSA, w.sent[0].b[isakmp.HeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	wantOctets(t, "SAi_b", m.saBody, bin("sai_b"))
	wantOctets(t, "message 5", w.sent[4].b, bin("p1_msg5"))
	wantOctets(t, "message 6", w.sent[5].b, bin("p1_msg6"))
	iv := w.a.e.sas[1].iv
	wantOctets(t, "last block", iv[:], bin("iv_p1_last"))
	w.a.want("up 1")
	w.b.want("up 1")

	// GROUPKEY-PULL; what follows HASH in each message is package gdoi's to make.
	plain := func(name string) []byte { return bin(name)[36:] }
	w.a.e.Do(w.now, Begin{SA: 1, Exchange: isakmp.ExchangePull, Token: 9, First: isakmp.PayloadNONCE, Payloads: plain("pull1_plain")})
	w.settle()
	next := func(n *node, number int, chain []byte) Message {
		t.Helper()
		for _, o := range n.take() {
			if m, ok := o.(Message); ok {
				if m.Number != number || m.MsgID != 0xa1b2c3d4 || m.Exchange != isakmp.ExchangePull || m.Gateway != "peer" || (m.Token == 9) != m.Initiator {
					t.Errorf("message %d: %+v", number, m)
				}
				wantOctets(t, "chain", m.Payloads, chain)
				return m
			}
		}
		t.Fatalf("message %d did not come", number)
		return Message{}
	}
	m1 := next(w.b, 1, plain("pull1_plain"))
	w.b.e.Do(w.now, Reply{SA: m1.SA, MsgID: m1.MsgID, First: isakmp.PayloadNONCE, Payloads: plain("pull2_plain")})
	w.settle()
	m2 := next(w.a, 2, plain("pull2_plain"))
	w.a.e.Do(w.now, Reply{SA: m2.SA, MsgID: m2.MsgID})
	w.settle()
	m3 := next(w.b, 3, nil)
	w.b.e.Do(w.now, Reply{SA: m3.SA, MsgID: m3.MsgID, First: isakmp.PayloadSEQ, Payloads: plain("pull4_plain"), Last: true})
	w.settle()
	m4 := next(w.a, 4, plain("pull4_plain"))
	if m4.First != isakmp.PayloadSEQ {
		t.Errorf("first payload %v", m4.First)
	}
	for i, name := range []string{"pull1", "pull2", "pull3", "pull4"} {
		wantOctets(t, name, w.sent[6+i].b, bin(name))
	}
	p := w.a.e.sas[1]
	ni, nr := bin("pull_ni"), bin("pull_nr")
	for i, c := range []struct {
		chain  []byte
		nonces [][]byte
	}{{plain("pull1_plain"), nil}, {plain("pull2_plain"), [][]byte{ni}}, {nil, [][]byte{ni, nr}}, {plain("pull4_plain"), [][]byte{ni, nr}}} {
		wantOctets(t, "HASH", p.hash(isakmp.ExchangePull, 0xa1b2c3d4, c.chain, c.nonces), bin([]string{"hash1", "hash2", "hash3", "hash4"}[i]))
	}
}
