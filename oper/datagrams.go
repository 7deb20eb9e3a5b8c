package oper

import (
	"maps"
	"slices"
)

// Datagrams is `show security group-vpn datagrams`, a command of ours: what has come from the network and what became of it,
// by kind. What was refused is here and nowhere else, since nothing of it is answered and little of it logged.
type Datagrams struct {
	Counters []DatagramCounter `xml:"datagram-counter"`
}

// DatagramCounter is one kind: who counted it, and what it was.
type DatagramCounter struct {
	By    string `xml:"counted-by"`
	Kind  string `xml:"kind"`
	Count uint64 `xml:"count"`
}

func datagrams(s *State, _ Args) (Reply, error) {
	var reply Datagrams
	for _, by := range []struct {
		name   string
		counts map[string]uint64
	}{
		{"engine", s.Refused},
		{"node", map[string]uint64{"not-sent": s.NotSent}},
		{"ike", s.IKE.Counters},
		{"server", map[string]uint64{
			"pull-unknown-group": s.Server.Counters.PullUnknownGroup, "pull-malformed": s.Server.Counters.PullMalformed,
			"quick-mode":    s.Server.Counters.QuickMode,
			"ack-malformed": s.Server.Counters.AckMalformed, "ack-unexpected": s.Server.Counters.AckUnexpected, "ack-invalid": s.Server.Counters.AckInvalid,
		}},
		{"member", map[string]uint64{
			"push-malformed": s.Member.Strays.PushMalformed, "push-unknown-spi": s.Member.Strays.PushUnknownSPI,
			"push-repeated": s.Member.Strays.PushRepeated, "push-old-kek": s.Member.Strays.PushOldKEK,
		}},
	} {
		for _, kind := range slices.Sorted(maps.Keys(by.counts)) {
			if n := by.counts[kind]; n > 0 {
				reply.Counters = append(reply.Counters, DatagramCounter{by.name, kind, n})
			}
		}
	}
	return reply, nil
}

// Root implements Reply.
func (Datagrams) Root() string { return "group-vpn-datagram-statistics" }

// AppendText implements Reply.
func (r Datagrams) AppendText(dst []byte) []byte {
	if len(r.Counters) == 0 {
		return append(dst, "Nothing has been counted.\n"...)
	}
	for _, c := range r.Counters {
		dst = addf(dst, labelDatagrams, c.By, c.Kind, c.Count)
	}
	return dst
}
