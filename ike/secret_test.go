package ike

import (
	"net/netip"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

// secretsOf are the keys of an SA, as they lie in memory.
func secretsOf(p *phase1) []sa.Secret {
	secrets := []sa.Secret{p.keys.a, p.keys.e}
	if p.keys.seed != nil {
		secrets = append(secrets, p.keys.skeyid, p.keys.d)
	}
	if p.negotiation != nil {
		secrets = append(secrets, p.exponent, p.shared)
	}
	return secrets
}

// Keys are zeros after every way in which an SA can end, and what is of the negotiation only after every negotiation.
func TestAttackKeyHygiene(t *testing.T) {
	wantZeros := func(name string, secrets []sa.Secret, keys bool) {
		t.Helper()
		some := false
		for i, s := range secrets {
			some = some || len(s) > 0
			if !zero(s) {
				t.Errorf("%s: secret %d is still there", name, i)
			}
		}
		if !some && keys {
			t.Errorf("%s: no secret was watched", name)
		}
	}
	for name, end := range map[string]func(w *world){
		"lifetime":            func(w *world) { w.run(25 * time.Hour) },
		"deleted":             func(w *world) { w.b.e.Do(w.now, Delete{Gateway: "peer"}) },
		"deleted by the peer": func(w *world) { w.a.e.Do(w.now, Delete{Gateway: "peer"}) },
		"gateway gone":        func(w *world) { w.b.e.RemoveGateway(w.now, "peer") },
		"peer dead": func(w *world) {
			w.net = func(wire) []wire { return nil }
			w.run(time.Minute)
		},
	} {
		w := newWorld(t, withDPD)
		_, p := w.up()
		if p.negotiation != nil || p.keys.seed != nil {
			t.Errorf("%s: secrets of the negotiation outlive it", name)
		}
		watched, psk := secretsOf(p), w.b.e.gateways["peer"].c.PSK
		end(w)
		w.settle()
		if p.state != gone || p.keys.made != nil {
			t.Fatalf("%s: state %d", name, p.state)
		}
		wantZeros(name, watched, true)
		if name == "gateway gone" {
			wantZeros("pre-shared key", []sa.Secret{psk}, true)
		}
	}
	// A negotiation that ends at its different stages; results that come after the end.
	for stage := range 5 {
		for name, end := range map[string]func(n *node){
			"timeout": func(n *node) { n.e.HandleTimeout(n.w.now.Add(time.Hour)) },
			"reconfigured": func(n *node) {
				n.e.SetGateway(n.w.now, gatewayTo(netip.AddrPortFrom(n.e.gateways["peer"].c.Remote[0], 848), func(g *step.Gateway) { g.Instance = "other" }))
			},
			"gone": func(n *node) { n.e.RemoveGateway(n.w.now, "peer") },
		} {
			w := newWorld(t)
			count := 0
			w.net = func(d wire) []wire {
				if count++; count > stage {
					return nil
				}
				return []wire{d}
			}
			w.a.hold = stage == 2
			w.b.hold = stage == 3
			w.connect()
			for _, n := range []*node{w.a, w.b} {
				p := n.last()
				if p == nil {
					continue
				}
				watched := secretsOf(p)
				end(n)
				if p.state != gone {
					t.Fatalf("%s at %d: state %d", name, stage, p.state)
				}
				wantZeros(name, watched, stage >= 2 && n == w.a)
				for _, k := range n.held {
					v, err := carryOut(k.Op)
					if err != nil {
						t.Fatal(err)
					}
					n.e.HandleResult(w.now, turn.Result{ID: k.ID, Value: v})
					switch v := v.(type) {
					case sa.Secret:
						wantZeros("late result", []sa.Secret{v}, true)
					case turn.KeyExchange:
						wantZeros("late result", []sa.Secret{v.Shared}, true)
					}
				}
			}
		}
	}
}

// Only an endpoint that is told to discloses keys, and then those that the SA has, at both ends the same.
func TestKeyLog(t *testing.T) {
	keys := func(n *node) (keys []turn.KeyLog) {
		for _, o := range n.take() {
			if k, ok := o.(turn.KeyLog); ok {
				keys = append(keys, k)
			}
		}
		return keys
	}
	for _, bits := range []int{128, 256} {
		w := newWorld(t, func(g *step.Gateway) { g.Proposals[0].KeyBits = bits })
		w.a.e.o.KeyLog = true
		w.connect()
		p := w.a.last()
		got := keys(w.a)
		if len(got) != 1 || got[0].InitiatorCookie != p.ck.i || !got[0].Key.Equal(p.keys.e[:bits/8]) {
			t.Errorf("AES-%d: %d keys", bits, len(got))
		}
		if len(keys(w.b)) != 0 {
			t.Error("a key is disclosed without being asked for")
		}
	}
}
