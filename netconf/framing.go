package netconf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// endOfMessage ends a message of base:1.0 (RFC 6242 section 4.3), and both hellos always.
const endOfMessage = "]]>]]>"

// errTooBig says that a message is longer than the session takes. The rest of it has not been read: the session ends.
var errTooBig = errors.New("netconf: message too big")

// framer reads and writes whole messages on a stream: end-of-message framing first, chunks once both sides said base:1.1.
type framer struct {
	r       *bufio.Reader
	w       *bufio.Writer
	chunked bool
}

func newFramer(rw io.ReadWriter) *framer {
	return &framer{r: bufio.NewReaderSize(rw, 32<<10), w: bufio.NewWriterSize(rw, 32<<10)}
}

// read returns the next message, of at most limit octets; io.EOF if the stream ended between messages. What it allocates
// follows what has arrived, not what a chunk's header announces.
func (f *framer) read(limit int) ([]byte, error) {
	if f.chunked {
		return f.readChunks(limit)
	}
	return f.readToMark(limit)
}

func (f *framer) readToMark(limit int) ([]byte, error) {
	var msg []byte
	for {
		// The mark ends in '>', so only there can a message end.
		part, err := f.r.ReadSlice('>')
		if len(msg)+len(part) > limit+len(endOfMessage) {
			return nil, errTooBig
		}
		msg = append(msg, part...)
		if err == nil && bytes.HasSuffix(msg, []byte(endOfMessage)) {
			return msg[:len(msg)-len(endOfMessage)], nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) && len(bytes.TrimSpace(msg)) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// readChunks reads Chunked-Message of RFC 6242 section 4.2:
//
//	Chunked-Message = 1*chunk end-of-chunks
//	chunk           = LF HASH chunk-size LF chunk-data
//	chunk-size      = [1-9] *DIGIT, at most 4294967295
//	end-of-chunks   = LF HASH HASH LF
func (f *framer) readChunks(limit int) ([]byte, error) {
	var msg bytes.Buffer
	for first := true; ; first = false {
		if err := f.expect('\n'); err != nil {
			if first {
				return nil, err
			}
			return nil, noEOF(err)
		}
		if err := f.expect('#'); err != nil {
			return nil, noEOF(err)
		}
		size, last, err := f.chunkSize()
		switch {
		case err != nil:
			return nil, noEOF(err)
		case last && first:
			return nil, errors.New("netconf: chunked framing: a message without a chunk")
		case last:
			return msg.Bytes(), nil
		case size > uint64(limit) || uint64(msg.Len())+size > uint64(limit):
			return nil, errTooBig
		}
		if _, err := io.CopyN(&msg, f.r, int64(size)); err != nil {
			return nil, noEOF(err)
		}
	}
}

// chunkSize reads what follows LF HASH, up to and with the LF: a size, or the second HASH of end-of-chunks.
func (f *framer) chunkSize() (size uint64, last bool, err error) {
	var digits []byte
	for {
		c, err := f.r.ReadByte()
		switch {
		case err != nil:
			return 0, false, err
		case c == '#' && len(digits) == 0:
			return 0, true, f.expect('\n')
		case c == '\n' && len(digits) > 0:
			size, err := strconv.ParseUint(string(digits), 10, 32)
			if err != nil {
				return 0, false, fmt.Errorf("netconf: chunked framing: chunk size %s, want 1..4294967295", digits)
			}
			return size, false, nil
		case c < '0' || c > '9' || c == '0' && len(digits) == 0 || len(digits) == 10:
			return 0, false, fmt.Errorf("netconf: chunked framing: %q in a chunk size", c)
		}
		digits = append(digits, c)
	}
}

func (f *framer) expect(want byte) error {
	c, err := f.r.ReadByte()
	if err != nil {
		return err
	}
	if c != want {
		return fmt.Errorf("netconf: chunked framing: %q, want %q", c, want)
	}
	return nil
}

// noEOF makes the end of the stream within a message an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// write sends one message; msg is not empty.
func (f *framer) write(msg []byte) error {
	if f.chunked {
		// One chunk per message: its length is known, and chunk-size goes to 4 GiB.
		_, _ = fmt.Fprintf(f.w, "\n#%d\n", len(msg))
		_, _ = f.w.Write(msg)
		_, _ = f.w.WriteString("\n##\n")
	} else {
		_, _ = f.w.Write(msg)
		_, _ = f.w.WriteString(endOfMessage)
	}
	// bufio keeps the first error and gives it here.
	return f.w.Flush()
}
