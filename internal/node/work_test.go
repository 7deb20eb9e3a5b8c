package node

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"testing/synctest"

	"gvpn/sa"
	"gvpn/turn"
)

// Both ends of a Diffie-Hellman exchange, and a signature with a fresh key, through the pool.
func TestPoolComputes(t *testing.T) {
	results := make(chan turn.Result, 8)
	p := newPool(2, func(r turn.Result) { results <- r })
	do := func(op turn.Op) any {
		t.Helper()
		p.submit(turn.Work{ID: 7, Op: op})
		r := <-results
		if r.ID != 7 || r.Err != nil {
			t.Fatalf("%T: result %d, error %v", op, r.ID, r.Err)
		}
		return r.Value
	}
	exponent := func(b byte) sa.Secret { return bytes.Repeat([]byte{b}, 32) }
	ours := do(turn.DHPublic{Group: 14, Exponent: exponent(3)}).([]byte)
	theirs := do(turn.DHPublic{Group: 14, Exponent: exponent(5)}).([]byte)
	here := do(turn.DHShared{Group: 14, Exponent: exponent(3), Peer: theirs}).(sa.Secret)
	there := do(turn.DHShared{Group: 14, Exponent: exponent(5), Peer: ours}).(sa.Secret)
	made := do(turn.DHBoth{Group: 14, Exponent: exponent(3), Peer: theirs}).(turn.KeyExchange)
	if !bytes.Equal(made.Public, ours) || !made.Shared.Equal(here) {
		t.Error("both at once are other than one by one")
	}
	if len(here) != 256 || !here.Equal(there) {
		t.Error("the two ends of an exchange do not agree")
	}
	pair := do(turn.RSAKey{Bits: 2048}).(turn.KeyPair)
	public, err := x509.ParsePKIXPublicKey(pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := public.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 {
		t.Errorf("asked for an RSA key of 2048 bits, got %T", public)
	}
	if signature := do(turn.RSASign{Private: pair.Private, Hash: sa.SHA256, Message: []byte("m")}).([]byte); len(signature) != 256 {
		t.Errorf("a signature of %d octets, want 256", len(signature))
	}
	for alg, size := range map[sa.SigAlg]int{sa.ECDSA256: 64, sa.ECDSA384: 96} {
		pair := do(turn.ECDSAKey{Alg: alg}).(turn.KeyPair)
		if signature := do(turn.ECDSASign{Private: pair.Private, Message: []byte("m")}).([]byte); len(signature) != size {
			t.Errorf("%v: a signature of %d octets, want %d", alg, len(signature), size)
		}
	}
	p.submit(turn.Work{ID: 8, Op: turn.ECDSAKey{Alg: sa.RSA}})
	if r := <-results; r.Err == nil {
		t.Error("a key on no curve was made")
	}
	p.submit(turn.Work{ID: 8})
	if r := <-results; r.Err == nil {
		t.Error("an operation that there is not was computed")
	}
	p.close()
}

func TestPoolEndsWithWorkWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		p := newPool(1, func(turn.Result) { <-block })
		for range 100 {
			p.submit(turn.Work{Op: nil})
		}
		synctest.Wait()
		close(block)
		p.close() // the bubble fails if a worker is left
	})
}

// The worker's copies of secrets do not outlive the work, done or not.
func TestAttackKeyHygiene(t *testing.T) {
	secret := func() sa.Secret { return bytes.Repeat([]byte{7}, 32) }
	var kept []sa.Secret
	ops := func() []turn.Op {
		s := []sa.Secret{secret(), secret(), secret(), secret(), secret(), secret(), secret()}
		kept = append(kept, s...)
		return []turn.Op{
			turn.DHPublic{Group: 14, Exponent: s[0]},
			turn.DHShared{Group: 14, Exponent: s[1], Peer: []byte{5}},
			turn.DHBoth{Group: 14, Exponent: s[6], Peer: []byte{5}},
			turn.RSASign{Private: s[2], Hash: sa.SHA256, Message: s[3]},
			turn.ECDSASign{Private: s[4], Message: s[5]},
		}
	}
	results := make(chan turn.Result, 4)
	p := newPool(1, func(r turn.Result) { results <- r })
	for _, op := range ops() {
		p.submit(turn.Work{Op: op})
		<-results
	}
	p.close()
	p = newPool(0, nil)
	for _, op := range ops() {
		p.submit(turn.Work{Op: op})
	}
	p.close()
	for i, s := range kept {
		if !s.Equal(make(sa.Secret, 32)) {
			t.Errorf("secret %d is still there", i)
		}
	}
}
