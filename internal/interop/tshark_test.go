//go:build interop

package interop

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dissection is what tshark says of one frame: field name to values, in order.
type dissection map[string][]string

// dissect writes a capture and has tshark read it with the given decryption table.
func dissect(t *testing.T, datagrams []datagram, keys []string) []dissection {
	t.Helper()
	tshark := need(t, "tshark", "tshark")
	path := filepath.Join(t.TempDir(), "session.pcap")
	writeCapture(t, path, datagrams)
	return readCapture(t, tshark, path, keys)
}

// dissected are the fields that readCapture asks for.
var dissected = []string{
	"_ws.malformed", "_ws.expert.message", "isakmp.exchangetype", "isakmp.messageid", "isakmp.typepayload",
	"isakmp.enc.decrypted", "isakmp.sak.spi", "isakmp.sat.spi", "isakmp.sat.transform_id", "isakmp.kd.num_pkt",
	"isakmp.kd.payload.spi", "isakmp.kd.payload.type", "isakmp.seq.seq", "isakmp.delete.spi", "isakmp.notify.msgtype",
	"isakmp.sa.doi", "isakmp.sa.situation", "isakmp.id.type", "isakmp.id.data.ipv4_addr", "isakmp.id.data.key_id", "isakmp.flag_e",
	"isakmp.sak.protoid", "isakmp.sak.src_id_type", "isakmp.sak.src_id_port", "isakmp.sak.src_id_length", "isakmp.sak.src_id_data",
	"isakmp.sak.dst_id_type", "isakmp.sak.dst_id_port", "isakmp.sak.dst_id_length", "isakmp.sak.dst_id_data",
	"isakmp.sat.protocol_id", "isakmp.sat.protocol", "isakmp.sat.src_id_type", "isakmp.sat.src_id_port", "isakmp.sat.src_id_data",
	"isakmp.sat.dst_id_type", "isakmp.sat.dst_id_port", "isakmp.sat.dst_id_data", "isakmp.sat.payload",
	"isakmp.kd.payload.spi_size", "isakmp.delete.protoid", "isakmp.delete.doi", "isakmp.hash", "isakmp.sig", "isakmp.nonce",
}

func readCapture(t *testing.T, tshark, path string, keys []string) []dissection {
	t.Helper()
	args := []string{"-n", "-r", path, "-d", "udp.port==848,isakmp", "-d", "udp.port==10848,isakmp", "-T", "fields", "-E", "separator=|", "-E", "aggregator=;"}
	for _, key := range keys {
		args = append(args, "-o", "uat:ikev1_decryption_table:"+key)
	}
	for _, field := range dissected {
		args = append(args, "-e", field)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(tshark, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	var frames []dissection
	for line := range strings.Lines(string(out)) {
		frame := dissection{}
		for i, value := range strings.Split(strings.TrimSuffix(line, "\n"), "|") {
			if value != "" && i < len(dissected) {
				frame[dissected[i]] = strings.Split(value, ";")
			}
		}
		frames = append(frames, frame)
	}
	return frames
}
