package interop

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// A transcript is a session of our IKE with a real peer, as text: what our side was, and then every turn of it in order. As its
// randomness comes from a seed, what it answers is a function of what it is given. testdata holds transcripts that `-record`
// wrote (record_test.go), and TestTranscripts plays them without the peer.
//
//	seed 1                                    of cookies, nonces, exponents and message IDs
//	port 848                                  ours, and where we begin
//	doi 2                                     of phase 1s that we begin
//	gateway 192.0.2.2 192.0.2.1 KEY           our address, the peer's, the pre-shared key
//	proposal 14 256 SHA-256 1h0m0s            group, bits of AES-CBC, hash, lifetime
//	mode aggressive                           if not main
//	dpd 1s 3                                  if we probe the peer: interval, threshold
//
//	1.2ms in 192.0.2.1:500 192.0.2.2:848 HEX  a datagram comes, without the four zero octets of port 4500
//	out 192.0.2.2:848 192.0.2.1:500 HEX       what we send in the same turn
//	say up                                    what we tell the engines above
//	2ms timeout                               our own deadline; connect and delete are what we are asked to do
type transcript struct {
	endpoint *ike.Endpoint
	gateway  step.Gateway
	text     bytes.Buffer
	said     []string
	sent     []turn.Transmit // not taken yet by whoever moves datagrams
}

// dawn is the time that a transcript's times are counted from.
var dawn = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// open starts our side as the head of a transcript says.
func open(head string) (*transcript, error) {
	tr := &transcript{gateway: step.Gateway{Name: "peer", Side: step.Server, Mode: "main"}}
	var seed [32]byte
	var o ike.Options
	for line := range strings.Lines(head) {
		tr.text.WriteString(line)
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		var err error
		switch g := &tr.gateway; word {
		case "seed":
			copy(seed[:], rest)
		case "port":
			_, err = fmt.Sscan(rest, &o.Port)
		case "doi":
			_, err = fmt.Sscan(rest, &o.DOI)
		case "gateway":
			var local, remote, key string
			if _, err = fmt.Sscan(rest, &local, &remote, &key); err == nil {
				g.Local, g.Remote, g.PSK = netip.MustParseAddr(local), []netip.Addr{netip.MustParseAddr(remote)}, sa.Secret(key)
			}
		case "proposal":
			var p step.Proposal
			var hash, life string
			if _, err = fmt.Sscan(rest, &p.DHGroup, &p.KeyBits, &hash, &life); err == nil {
				p.Hash = hashes[hash]
				p.Lifetime, err = time.ParseDuration(life)
			}
			g.Proposals = append(g.Proposals, p)
		case "mode":
			g.Mode = rest
		case "dpd":
			var every string
			g.DPD, g.Peer = &step.DPD{}, true
			if _, err = fmt.Sscan(rest, &every, &g.DPD.Threshold); err == nil {
				g.DPD.Interval, err = time.ParseDuration(every)
			}
		default:
			err = fmt.Errorf("no such word")
		}
		if err != nil {
			return nil, fmt.Errorf("transcript: %q: %w", line, err)
		}
	}
	if err := new(ike.Checker).Supports(tr.gateway); err != nil {
		return nil, err
	}
	tr.text.WriteByte('\n')
	tr.endpoint = ike.New(rand.NewChaCha8(seed), o)
	tr.endpoint.SetGateway(dawn, tr.gateway)
	return tr, nil
}

var hashes = map[string]sa.Hash{"SHA-256": sa.SHA256, "SHA-384": sa.SHA384, "SHA-512": sa.SHA512}

// turn gives our side one event, of the words after its time, and writes down what comes of it.
func (tr *transcript) turn(at time.Duration, event ...string) error {
	now := dawn.Add(at)
	fmt.Fprintf(&tr.text, "%v %s\n", at, strings.Join(event, " "))
	remote := tr.gateway.Remote[0]
	switch {
	case event[0] == "connect":
		tr.endpoint.Do(now, ike.Connect{Gateway: "peer", Remote: remote})
	case event[0] == "delete":
		tr.endpoint.Do(now, ike.Delete{Gateway: "peer", Remote: remote})
	case event[0] == "timeout":
		tr.endpoint.HandleTimeout(now)
	case event[0] == "in" && len(event) == 4:
		from, err := netip.ParseAddrPort(event[1])
		if err != nil {
			return err
		}
		to, err := netip.ParseAddrPort(event[2])
		if err != nil {
			return err
		}
		b, err := hex.DecodeString(event[3])
		if err != nil {
			return err
		}
		tr.endpoint.HandleDatagram(now, to, from, b)
	default:
		return fmt.Errorf("transcript: no event %q", event)
	}
	for {
		out, more := tr.endpoint.Next()
		if !more {
			return nil
		}
		switch out := out.(type) {
		case turn.Transmit:
			fmt.Fprintf(&tr.text, "out %v %v %x\n", out.Local, out.Remote, out.Datagram)
			tr.sent = append(tr.sent, out)
		case turn.Work:
			var r turn.Result
			switch op := out.Op.(type) {
			case turn.DHPublic:
				r.Value, r.Err = ike.DHPublic(op.Group, op.Exponent)
			case turn.DHShared:
				r.Value, r.Err = ike.DHShared(op.Group, op.Exponent, op.Peer)
			case turn.DHBoth:
				r.Value, r.Err = ike.DHBoth(op.Group, op.Exponent, op.Peer)
			default:
				return fmt.Errorf("transcript: no way to compute %T", op)
			}
			r.ID = out.ID
			tr.endpoint.HandleResult(now, r)
		case ike.Up:
			tr.say("up")
		case ike.Down:
			tr.say("down: " + out.Reason)
		case ike.Dead:
			tr.say("dead")
		case ike.Failed:
			tr.say("failed: " + out.Reason)
		case ike.Moved:
			tr.say("moved: " + out.To.String())
		case ike.Message:
			tr.say(fmt.Sprintf("message %d of exchange %d: %x", out.Number, out.Exchange, out.Payloads))
		case turn.Notify:
			tr.say("log " + out.Code)
		default:
			return fmt.Errorf("transcript: %T is not expected", out)
		}
	}
}

func (tr *transcript) say(what string) {
	tr.said = append(tr.said, what)
	fmt.Fprintf(&tr.text, "say %s\n", what)
}

// play opens a transcript again and gives our side what it was given then.
func play(text string) (*transcript, error) {
	head, body, found := strings.Cut(text, "\n\n")
	if !found {
		return nil, fmt.Errorf("transcript: no empty line after the head")
	}
	tr, err := open(head + "\n")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(body) {
		words := strings.Fields(line)
		if len(words) < 2 {
			return nil, fmt.Errorf("transcript: %q: no event", line)
		}
		if words[0] == "out" || words[0] == "say" {
			continue
		}
		at, err := time.ParseDuration(words[0])
		if err != nil {
			return nil, fmt.Errorf("transcript: %w", err)
		}
		if err := tr.turn(at, words[1:]...); err != nil {
			return nil, err
		}
	}
	return tr, nil
}

// Every recorded session goes the way it went, octet for octet.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := play(string(want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), tr.text.String()); diff != "" {
				t.Errorf("%s does not go as it went (-recorded +now); if our octets are meant to change, or the order of our dice: make record\n%s", file, diff)
			}
			if !strings.Contains(string(want), "\nsay up\n") {
				t.Errorf("%s: the SA never comes up", file)
			}
		})
	}
}
