package oper

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gvpn/cluster"
	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/member"
	"gvpn/sa"
	"gvpn/server"
)

// State is what replies are made from: copies that nobody else writes to, all of one moment.
type State struct {
	// Now is that moment; remaining times are counted from it, and times are shown in its location.
	Now time.Time

	IKE     ike.State
	Server  server.State
	Cluster cluster.State
	Member  member.State

	// Groups and VPNs are what the engines are configured with.
	Groups []step.Group
	VPNs   []step.VPN

	// Refused is what no engine was given, by kind.
	Refused map[string]uint64
	// NotSent is how many datagrams the system refused to send.
	NotSent uint64

	// Traffic is what the data plane has counted; zero on a server.
	Traffic Traffic
}

// Traffic is what a member's data plane has counted since it started, or since its statistics were cleared.
type Traffic struct {
	EncryptedBytes, DecryptedBytes, EncryptedPackets, DecryptedPackets uint64

	ReplayErrors, AuthenticationFailures, DecryptionFailures uint64
	BadHeaders, BadTrailers                                  uint64
	InvalidSPI                                               uint64
	TSCheckFailures                                          uint64 // decrypted, but no policy of its TEK wants it
	ExceedsTunnelMTU, Discarded                              uint64

	D3P D3PStats // dropped by time-based anti-replay

	ExcludeSessions, FailOpenSessions uint64 // packets, where the data plane keeps no sessions
	FailCloseDropped                  uint64
}

// Args are the arguments of a Command. A zero field was not given.
type Args struct {
	Detail      bool
	Group       string
	GroupID     uint32
	Peer        netip.Addr
	PeerGateway string
	VPN         string
	Index       uint64
	Now         bool
	KEK, TEK    bool
}

// remaining is the time until t in whole seconds, never negative.
func (s *State) remaining(t time.Time) int64 {
	return max(int64(t.Sub(s.Now)/time.Second), 0)
}

// groups are the server's groups that the arguments choose. Choosing one that is not there is an error.
func (s *State) groups(a Args) ([]server.GroupState, error) {
	chosen := slices.DeleteFunc(slices.Clone(s.Server.Groups), func(g server.GroupState) bool {
		return a.Group != "" && g.Name != a.Group || a.GroupID != 0 && g.ID != a.GroupID
	})
	return chosen, chose("group", len(chosen), a.Group, a.GroupID)
}

// vpns are the member's VPNs that the arguments choose, with their places in the list of all.
func (s *State) vpns(a Args) (chosen []member.VPN, places []int, err error) {
	for i, v := range s.Member.VPNs {
		if (a.VPN == "" || v.Name == a.VPN) && (a.GroupID == 0 || v.Group == a.GroupID) {
			chosen, places = append(chosen, v), append(places, i)
		}
	}
	return chosen, places, chose("vpn", len(chosen), a.VPN, a.GroupID)
}

func chose(what string, n int, name string, id uint32) error {
	switch {
	case n > 0 || name == "" && id == 0:
		return nil
	case name != "":
		return fmt.Errorf("%s '%s' is not configured", what, name)
	}
	return fmt.Errorf("no %s with group-id %d is configured", what, id)
}

// firstTunnel is the tunnel id of a member's first VPN, as on SRX; the others follow in the order of their names.
const firstTunnel = 49152

// failCloseTunnel is the tunnel id that SRX shows for the fail-close policy.
const failCloseTunnel = 63488

func cookie(c []byte) string { return fmt.Sprintf("%x", c) }

// encryption is Junos's word for a cipher in a list of SAs.
func encryption(c sa.Cipher, keyBits int) string {
	if c == sa.GCM {
		return fmt.Sprintf("aes-gcm-%d", keyBits)
	}
	return fmt.Sprintf("aes-%d", keyBits)
}

// integrity is what authenticates beside the cipher: HMAC-SHA-256-128, or nothing, "None".
func integrity(c sa.Cipher) string {
	if c == sa.GCM {
		return "None"
	}
	return "sha256"
}

// algorithms names a TEK's protocol, its cipher and what authenticates: of ESP, or, if x is set, of IEC 61850 in the words of the
// configuration.
func algorithms(x *sa.IEC61850, c sa.Cipher, keyBits int) (protocol, cipher, auth string) {
	if x != nil {
		return "IEC61850", x.Enc.String(), x.Auth.String()
	}
	return "ESP", encryption(c, keyBits), integrity(c)
}

// ObjectSelector is what traffic of IEC 61850 an SA is for: elements of our own, in detail only.
type ObjectSelector struct {
	OID       string `xml:"sa-object-identifier,omitempty"` // dotted
	Payload   string `xml:"sa-object-payload,omitempty"`    // an IPv4 address, or DER in hexadecimal digits
	Assurance *uint8 `xml:"sa-key-delivery-assurance"`      // per cent
}

// antiReplay says how packets of a TEK for ESP are told from old ones, by the window of its time stamps.
func antiReplay(window time.Duration) string {
	if window == 0 {
		return "counter-based anti-replay service disabled"
	}
	return fmt.Sprintf("time-based anti-replay service (D3P), window %d milliseconds", window.Milliseconds())
}

// selects is nil for a TEK of ESP.
func selects(x *sa.IEC61850) *ObjectSelector {
	if x == nil {
		return nil
	}
	o := new(ObjectSelector)
	o.OID, o.Payload = x.Selector.Text()
	if a := x.Assurance; x.HasAssurance {
		o.Assurance = &a
	}
	return o
}

func (o *ObjectSelector) appendText(dst []byte) []byte {
	if o == nil {
		return dst
	}
	dst = addf(dst, labelObject, o.OID)
	if o.Payload != "" {
		dst = addf(dst, labelPayload, o.Payload)
	}
	if o.Assurance != nil {
		dst = addf(dst, labelAssurance, *o.Assurance)
	}
	return dst
}

// encryptionCBC is the word of the configuration.
func encryptionCBC(keyBits int) string { return fmt.Sprintf("aes-%d-cbc", keyBits) }

// plainHash is a hash's name without hyphen, as in "ESP:aes-256/sha256".
func plainHash(name string) string { return strings.ReplaceAll(name, "-", "") }

// capital writes a word with a capital first letter.
func capital(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
