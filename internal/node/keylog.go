package node

import (
	"encoding/hex"
	"fmt"
	"io"

	"gvpn/turn"
)

// writeKey writes a line as tshark's table ikev1_decryption_table wants it: the initiator's cookie and the cipher key, in hex. It
// clears the key.
func writeKey(w io.Writer, k turn.KeyLog) error {
	line := hex.AppendEncode(nil, k.InitiatorCookie[:])
	line = append(line, ',')
	line = hex.AppendEncode(line, k.Key)
	line = append(line, '\n')
	k.Key.Zero()
	defer clear(line)
	if _, err := w.Write(line); err != nil {
		return fmt.Errorf("node: write to the key log: %w", err)
	}
	return nil
}
