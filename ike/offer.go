package ike

import (
	"encoding/binary"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
)

// Attributes of a phase-1 transform and their values (RFC 2409 Appendix A; IANA's registry for AES and SHA-2).
const (
	attrCipher   = 1
	attrHash     = 2
	attrAuth     = 3
	attrGroup    = 4
	attrLifeType = 11
	attrLife     = 12
	attrKeyBits  = 14

	cipherAESCBC = 7
	lifeSeconds  = 1
	lifeKilobyte = 2
)

// hashNumbers are the hashes that phase 1 can use, and their numbers.
var hashNumbers = map[sa.Hash]uint16{sa.SHA256: 4, sa.SHA384: 5, sa.SHA512: 6}

// authNumbers are the authentication methods (RFC 2409 Appendix A, RFC 4754 section 5).
var authNumbers = map[step.AuthMethod]uint16{
	step.PreSharedKeys: 1, step.RSASignatures: 3, step.ECDSASignatures256: 9, step.ECDSASignatures384: 10,
}

// Lifetimes. A proposal without one and a peer's without one mean DefaultLifetime, Junos's default; a longer one than
// MaxLifetime is cut to it at our side, which RFC 2409 leaves to each side.
const (
	DefaultLifetime = 28800 * time.Second
	MaxLifetime     = 86400 * time.Second
)

// offer is one transform of phase 1 as it is understood.
type offer struct {
	suite
	life time.Duration
}

// readOffer reads a transform's attributes; false if it is not one that could ever be accepted: another algorithm, an
// attribute that is not known, or one that stands there twice.
func readOffer(t isakmp.Transform) (offer, bool) {
	if t.ID != isakmp.KeyIKE {
		return offer{}, false
	}
	var o offer
	var cipher, hash, auth, lifeType uint64
	var seen uint32 // bit n: attribute n; none that is known has a number over 31
	for rest := t.Attrs; len(rest) > 0; {
		var a isakmp.Attr
		var err error
		if a, rest, err = isakmp.NextAttr(rest); err != nil {
			return offer{}, false
		}
		v, ok := a.Uint()
		if !ok || a.Type > 31 || seen>>a.Type&1 != 0 {
			return offer{}, false
		}
		// A life type and its duration come in pairs, one pair for each unit.
		if a.Type != attrLifeType && a.Type != attrLife {
			seen |= 1 << a.Type
		}
		switch a.Type {
		case attrCipher:
			cipher = v
		case attrHash:
			hash = v
		case attrAuth:
			auth = v
		case attrGroup:
			o.group = uint16(min(v, 0xffff))
		case attrKeyBits:
			o.bits = uint16(min(v, 0xffff))
		case attrLifeType:
			lifeType = v
		case attrLife:
			switch {
			case v == 0 || lifeType != lifeSeconds && lifeType != lifeKilobyte:
				return offer{}, false
			case lifeType == lifeSeconds:
				o.life = time.Duration(min(v, uint64(MaxLifetime/time.Second))) * time.Second
			}
			lifeType = 0
		default:
			return offer{}, false
		}
	}
	for h, n := range hashNumbers {
		if hash == uint64(n) {
			o.hash = h
		}
	}
	known := false
	for m, n := range authNumbers {
		if auth == uint64(n) {
			o.auth, known = m, true
		}
	}
	if o.life == 0 {
		o.life = DefaultLifetime
	}
	return o, cipher == cipherAESCBC && known && o.hash != 0 && o.bits != 0 && o.group != 0
}

func offerOf(p step.Proposal) offer {
	o := offer{suite: suite{hash: p.Hash, bits: uint16(p.KeyBits), group: uint16(p.DHGroup), auth: p.Auth}, life: p.Lifetime}
	if o.life == 0 {
		o.life = DefaultLifetime
	}
	o.life = min(o.life, MaxLifetime)
	return o
}

func (o offer) attrs() []byte {
	b := isakmp.AppendAttrBasic(nil, attrCipher, cipherAESCBC)
	b = isakmp.AppendAttrBasic(b, attrKeyBits, o.bits)
	b = isakmp.AppendAttrBasic(b, attrHash, hashNumbers[o.hash])
	b = isakmp.AppendAttrBasic(b, attrGroup, o.group)
	b = isakmp.AppendAttrBasic(b, attrAuth, authNumbers[o.auth])
	b = isakmp.AppendAttrBasic(b, attrLifeType, lifeSeconds)
	return isakmp.AppendAttrUint32(b, attrLife, uint32(o.life/time.Second))
}

// offered is the SA that an initiator sends: DOI 2 and situation 0 (RFC 6407 section 2.1), one proposal, a transform for
// each configured one in order (RFC 2409 section 5).
func offered(proposals []step.Proposal) isakmp.SA {
	p := isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolISAKMP}
	for i, c := range proposals {
		p.Transforms = append(p.Transforms, isakmp.Transform{Number: uint8(i + 1), ID: isakmp.KeyIKE, Attrs: offerOf(c).attrs()})
	}
	return isakmp.SA{DOI: isakmp.DOIGDOI, Situation: isakmp.SituationGDOI, Proposals: []isakmp.Proposal{p}}
}

// checkDOI accepts DOI 2 and, since deployed peers send and answer with it, DOI 1; the situation is 0 or identity-only.
func checkDOI(s isakmp.SA) error {
	if s.DOI != isakmp.DOIGDOI && s.DOI != isakmp.DOIIPsec || s.Situation > isakmp.SituationIdentityOnly {
		return isakmp.Errorf(isakmp.UnsupportedDOI, "SA payload: DOI %d, situation %d", s.DOI, s.Situation)
	}
	return nil
}

// choose picks the transform that a responder accepts: the first of its own proposals that the initiator offers. The answer
// holds that transform unmodified (RFC 2409 section 5). Lifetimes need not agree; the shorter one counts at our side.
func choose(own []step.Proposal, s isakmp.SA) (answer isakmp.SA, chosen offer, ok bool) {
	for _, c := range own {
		want := offerOf(c)
		for _, p := range s.Proposals {
			if p.Protocol != isakmp.ProtocolISAKMP {
				continue
			}
			for _, t := range p.Transforms {
				o, ok := readOffer(t)
				if !ok || o.suite != want.suite {
					continue
				}
				if c.Lifetime != 0 {
					o.life = min(o.life, want.life)
				}
				p.SPI, p.Transforms = nil, []isakmp.Transform{t}
				return isakmp.SA{DOI: s.DOI, Situation: s.Situation, Proposals: []isakmp.Proposal{p}}, o, true
			}
		}
	}
	return isakmp.SA{}, offer{}, false
}

// chooseLead is choose for the first of several gateways that can; the last gateway and an SA with DOI 0 if none can.
func chooseLead(leads []*gateway, s isakmp.SA) (g *gateway, answer isakmp.SA, chosen offer) {
	for _, g = range leads {
		if !responds(g) {
			continue
		}
		if answer, chosen, ok := choose(g.c.Proposals, s); ok {
			return g, answer, chosen
		}
	}
	return g, isakmp.SA{}, offer{}
}

// accept reads a responder's answer: exactly one transform, and of a suite that was offered. A responder that returns
// something else wants a weaker SA than configured.
func accept(own []step.Proposal, s isakmp.SA) (offer, bool) {
	if len(s.Proposals) != 1 || len(s.Proposals[0].Transforms) != 1 || s.Proposals[0].Protocol != isakmp.ProtocolISAKMP {
		return offer{}, false
	}
	o, ok := readOffer(s.Proposals[0].Transforms[0])
	if !ok {
		return offer{}, false
	}
	for _, c := range own {
		if want := offerOf(c); want.suite == o.suite {
			o.life = min(o.life, want.life)
			return o, true
		}
	}
	return offer{}, false
}

func uint32s(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
