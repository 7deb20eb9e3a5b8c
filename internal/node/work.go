package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"sync"

	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// pool computes Work beside the loop. Its queue has no bound of its own: the engines bound what they have under way.
type pool struct {
	result func(turn.Result)

	mu     sync.Mutex
	ready  sync.Cond
	queue  []turn.Work
	closed bool
	wg     sync.WaitGroup
}

func newPool(workers int, result func(turn.Result)) *pool {
	p := &pool{result: result}
	p.ready.L = &p.mu
	for range workers {
		p.wg.Go(p.run)
	}
	return p
}

func (p *pool) submit(w turn.Work) {
	p.mu.Lock()
	p.queue = append(p.queue, w)
	p.mu.Unlock()
	p.ready.Signal()
}

// close drops what has not begun and waits for the rest.
func (p *pool) close() {
	p.mu.Lock()
	for _, w := range p.queue {
		wipe(w.Op)
	}
	p.closed, p.queue = true, nil
	p.mu.Unlock()
	p.ready.Broadcast()
	p.wg.Wait()
}

func (p *pool) run() {
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.closed {
			p.ready.Wait()
		}
		if p.closed {
			p.mu.Unlock()
			return
		}
		w := p.queue[0]
		p.queue[0] = turn.Work{}
		p.queue = p.queue[1:]
		p.mu.Unlock()
		value, err := compute(w.Op)
		wipe(w.Op)
		p.result(turn.Result{ID: w.ID, Value: value, Err: err})
	}
}

// compute carries out one operation; the result's type is the one that the Op documents.
func compute(op turn.Op) (any, error) {
	switch op := op.(type) {
	case turn.DHPublic:
		return ike.DHPublic(op.Group, op.Exponent)
	case turn.DHShared:
		return ike.DHShared(op.Group, op.Exponent, op.Peer)
	case turn.DHBoth:
		return ike.DHBoth(op.Group, op.Exponent, op.Peer)
	case turn.RSASign, turn.ECDSASign:
		return gdoi.Sign(op)
	case turn.SignHash:
		return ike.Sign(op)
	case turn.RSAKey:
		key, err := rsa.GenerateKey(rand.Reader, op.Bits)
		if err != nil {
			return nil, fmt.Errorf("node: make an RSA key of %d bits: %w", op.Bits, err)
		}
		return keyPair(key, &key.PublicKey)
	case turn.ECDSAKey:
		curve := map[sa.SigAlg]elliptic.Curve{sa.ECDSA256: elliptic.P256(), sa.ECDSA384: elliptic.P384()}[op.Alg]
		if curve == nil {
			return nil, fmt.Errorf("node: no curve for %v", op.Alg)
		}
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("node: make an %v key: %w", op.Alg, err)
		}
		return keyPair(key, &key.PublicKey)
	}
	return nil, fmt.Errorf("node: no way to compute %T", op)
}

func keyPair(private, public any) (any, error) {
	p, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("node: encode the signature key: %w", err)
	}
	q, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("node: encode the public key: %w", err)
	}
	return turn.KeyPair{Public: q, Private: p}, nil
}

// wipe destroys the secrets of an operation, which are its worker's own copies. A push has its keys in the clear until it is
// signed.
func wipe(op turn.Op) {
	switch op := op.(type) {
	case turn.DHPublic:
		op.Exponent.Zero()
	case turn.DHShared:
		op.Exponent.Zero()
	case turn.DHBoth:
		op.Exponent.Zero()
	case turn.SignHash:
		op.Private.Zero()
	case turn.RSASign:
		op.Private.Zero()
		clear(op.Message)
	case turn.ECDSASign:
		op.Private.Zero()
		clear(op.Message)
	}
}

// wipeValue destroys the secrets of a result that nobody will take.
func wipeValue(v any) {
	switch v := v.(type) {
	case sa.Secret:
		v.Zero()
	case turn.KeyPair:
		v.Private.Zero()
	case turn.KeyExchange:
		v.Shared.Zero()
	}
}
