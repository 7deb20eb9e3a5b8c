//go:build interop

package interop

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTsharkDissectsDaemons has a real key server and a real member in two namespaces, with dumpcap between them: a registration, a
// push of a new TEK, its acknowledgement, and a push that deletes. tshark decrypts the pull with nothing but gvpnd's key log, and
// what it reads in each field is what the configuration says.
func TestTsharkDissectsDaemons(t *testing.T) {
	need(t, "tshark", "tshark")
	dumpcap := need(t, "dumpcap", "wireshark-common")
	left, right := connected(t)
	dir := t.TempDir()
	keys, pcap := filepath.Join(dir, "keys"), filepath.Join(dir, "wire.pcap")

	capture := right.in(t, dumpcap, "-q", "-P", "-i", "veth0", "-f", "udp", "-w", pcap)
	start(t, capture[0], capture[1:]...)
	eventually(t, 10*time.Second, "capturing", func() bool {
		_, err := os.Stat(pcap)
		return err == nil
	})
	server := startDaemon(t, right, strings.Replace(serverConfig, "sig-hash-algorithm sha-256;", "sig-hash-algorithm sha-256;\n retransmission-period 2;\n number-of-retransmission 2;", 1), "--key-log", keys)
	member := startDaemon(t, left, strings.NewReplacer("server-address 192.0.2.4", "server-address 192.0.2.2", "local-address 192.0.2.2", "local-address 192.0.2.1",
		"local-identity hostname gvpnd.example.net;\n", "", "remote-identity hostname charon.example.net;\n", "").Replace(memberConfig))
	eventually(t, 20*time.Second, "registered", func() bool {
		return strings.Contains(server.output(), "GKSD_MEMBER_REGISTERED")
	})
	server.shell("request security group-vpn server rekey group G tek")
	eventually(t, 10*time.Second, "pushed to", func() bool { return strings.Contains(member.output(), "push 1 from server 192.0.2.2: a KEK, 2 TEKs") })
	server.shell("clear security group-vpn server group G")
	eventually(t, 10*time.Second, "told to start over", func() bool { return strings.Contains(member.output(), "server 192.0.2.2 deleted every SA") })
	const datagrams = 18 // 6 of main mode, 4 of the pull, 2 pushes with an acknowledgement each, 4 of another pull
	eventually(t, 10*time.Second, "all captured", func() bool { return len(readPcap(t, pcap)) >= datagrams })

	log, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	logged := map[string][]byte{}
	for _, line := range strings.Fields(string(log)) {
		cookie, key, _ := strings.Cut(line, ",")
		c, err1 := hex.DecodeString(cookie)
		k, err2 := hex.DecodeString(key)
		if err1 != nil || err2 != nil {
			t.Fatalf("key log: %v %v", err1, err2)
		}
		logged[string(c)] = k
	}
	captured := readPcap(t, pcap)
	rewrite := func(noGAP, wide bool) *rewriter {
		r := newRewriter()
		r.noGAP, r.wide, r.logged = noGAP, wide, logged
		for i, d := range captured {
			if err := r.add(d); err != nil {
				t.Fatalf("datagram %d: %v", i, err)
			}
		}
		return r
	}
	r := rewrite(true, true)
	frames := dissect(t, r.out, r.keys)
	for _, want := range figures {
		found := false
		for _, m := range r.plain {
			if m.exchange != want.exchange || m.number != want.number && want.number != 0 {
				continue
			}
			frame := frames[m.datagram]
			if want.exchange == exchangePush && slices.Contains(frame["isakmp.typepayload"], "12") != strings.Contains(want.what, "Delete") {
				continue
			}
			found = true
			compare(t, m, frame)
			for field, values := range want.fields {
				if got := strings.Join(frame[field], " "); got != values {
					t.Errorf("%s: %s is %q, want %q", want.what, field, got, values)
				}
			}
			break
		}
		if !found {
			t.Errorf("%s: not captured, or not decrypted", want.what)
		}
	}

	// With the DOI of phase 1 alone changed, tshark still decrypts the whole pull under the logged key, and finds nothing malformed in
	// what is no SAT.
	r = rewrite(false, false)
	frames = dissect(t, r.out, strings.Fields(string(log)))
	for _, m := range r.plain {
		if m.exchange == exchangePull && (frames[m.datagram]["isakmp.hash"] == nil || frames[m.datagram]["_ws.malformed"] != nil && !m.carriesSAT()) {
			t.Errorf("pull, message %d, untouched: tshark says %v", m.number, frames[m.datagram])
		}
	}
	tried(t, "tshark 4.0.17", "a registration, a push and its acknowledgement, \"start over\", between two gvpnd, captured by dumpcap; `--key-log` as decryption table",
		"pull decrypted; PUSH too after the rewriting of rewrite_test.go; every field as RFC 6407's and RFC 8263's figures have it")
}

// figures are the fields of GDOI messages as RFC 6407 (sections 3.2, 4.2, 5) and RFC 8263 (section 3) draw them, for the configuration of
// the test: payload types in order (what stands inside an SA among them), and their values.
var figures = []struct {
	what     string
	exchange byte
	number   int
	fields   map[string]string
}{
	{"PULL 1: HASH, Ni, ID", exchangePull, 1, map[string]string{
		"isakmp.typepayload": "8 10 5", "isakmp.id.type": "11", "isakmp.id.data.key_id": "00000001", "isakmp.flag_e": "1",
	}},
	{"PULL 2: HASH, Nr, SA (SAK, SAT)", exchangePull, 2, map[string]string{
		"isakmp.typepayload": "8 10 1 16", "isakmp.sa.doi": "2", "isakmp.sa.situation": "00000000", "isakmp.sak.protoid": "17",
		"isakmp.sat.protocol_id": "1", "isakmp.sat.protocol": "0", "isakmp.sat.transform_id": "12",
		"isakmp.sat.src_id_type": "4", "isakmp.sat.src_id_port": "0", "isakmp.sat.src_id_data": "ac100000fff00000",
		"isakmp.sat.dst_id_type": "4", "isakmp.sat.dst_id_port": "0", "isakmp.sat.dst_id_data": "ac100000fff00000",
	}},
	{"PULL 3: HASH", exchangePull, 3, map[string]string{"isakmp.typepayload": "8"}},
	{"PULL 4: HASH, SEQ, KD", exchangePull, 4, map[string]string{
		"isakmp.typepayload": "8 18 17", "isakmp.seq.seq": "0", "isakmp.kd.num_pkt": "2", "isakmp.kd.payload.type": "1 2", "isakmp.kd.payload.spi_size": "4 16",
	}},
	{"PUSH: SEQ, SA (SAT), KD, SIG", exchangePush, 0, map[string]string{
		"isakmp.typepayload": "18 1 16 17 9", "isakmp.seq.seq": "1", "isakmp.messageid": "0x00000000", "isakmp.flag_e": "1", "isakmp.sa.doi": "2",
		"isakmp.kd.num_pkt": "1", "isakmp.kd.payload.type": "1",
	}},
	{"PUSH: SEQ, Delete, SIG", exchangePush, 0, map[string]string{"isakmp.seq.seq": "2", "isakmp.delete.doi": "2 2", "isakmp.delete.protoid": "1 0"}},
	{"PUSH-ACK: HASH, SEQ, ID", exchangeAck, 0, map[string]string{
		"isakmp.typepayload": "8 18 5", "isakmp.seq.seq": "1", "isakmp.id.type": "1", "isakmp.id.data.ipv4_addr": "192.0.2.1", "isakmp.messageid": "0x00000000", "isakmp.flag_e": "0",
	}},
}
