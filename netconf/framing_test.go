package netconf

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// stream reads from one side and throws away what is written.
type stream struct {
	io.Reader
	io.Writer
}

func reader(r io.Reader, chunked bool) *framer {
	f := newFramer(stream{r, io.Discard})
	f.chunked = chunked
	return f
}

func TestReadToMark(t *testing.T) {
	f := reader(iotest.OneByteReader(strings.NewReader("<a/>]]>]]><b>]]</b>]]>x]]>]]>\n]]>]]>")), false)
	for _, want := range []string{"<a/>", "<b>]]</b>]]>x", "\n"} {
		got, err := f.read(100)
		if err != nil || string(got) != want {
			t.Errorf("read: %q, %v; want %q", got, err, want)
		}
	}
	if _, err := f.read(100); !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %v, want EOF", err)
	}
	if _, err := reader(strings.NewReader("<a/>]]>]]"), false).read(100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read of a part: %v, want unexpected EOF", err)
	}
	long := strings.Repeat("x", 100<<10)
	if got, err := reader(strings.NewReader(long+endOfMessage), false).read(len(long)); err != nil || string(got) != long {
		t.Errorf("read of a long message: %d octets, %v", len(got), err)
	}
	if _, err := reader(strings.NewReader(long+endOfMessage), false).read(len(long) - 1); !errors.Is(err, errTooBig) {
		t.Errorf("read over the limit: %v, want %v", err, errTooBig)
	}
}

// RFC 6242 section 4.2: "If an incorrectly encoded chunk is received, the peer MUST terminate the NETCONF session".
func TestReadChunks(t *testing.T) {
	// The example of section 4.2.
	const hello = "\n#4\n<rpc\n#18\n message-id=\"102\"\n\n#79\n     xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\">\n  <close-session/>\n</rpc>\n##\n"
	f := reader(iotest.OneByteReader(strings.NewReader(hello)), true)
	got, err := f.read(1000)
	if err != nil || !strings.HasPrefix(string(got), "<rpc message-id=\"102\"\n") || !strings.HasSuffix(string(got), "</rpc>") {
		t.Errorf("read: %q, %v", got, err)
	}
	if _, err := f.read(1000); !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %v, want EOF", err)
	}
	for in, want := range map[string]string{
		"<rpc/>]]>]]>":                        "want '\\n'",
		"\n4\nabcd\n##\n":                     "want '#'",
		"\n#04\nabcd\n##\n":                   "in a chunk size",
		"\n#\nabcd\n##\n":                     "in a chunk size",
		"\n#4x\nabcd\n##\n":                   "in a chunk size",
		"\n#-4\nabcd\n##\n":                   "in a chunk size",
		"\n#4294967296\n":                     "chunk size 4294967296",
		"\n#99999999999\n":                    "in a chunk size",
		"\n#4294967295\n":                     "too big",
		"\n#600\n" + strings.Repeat("x", 600): "unexpected EOF",
		"\n##\n":                              "without a chunk",
		"\n#4\nabcd\n##":                      "unexpected EOF",
		"\n#4\nabcd\n##x":                     "want '\\n'",
		"\n#4\nabc":                           "unexpected EOF",
		"\n#900\n" + strings.Repeat("x", 900) + "\n#900\n": "too big",
	} {
		if got, err := reader(strings.NewReader(in), true).read(1000); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("read of %.40q: %q, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestFramingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chunked := rapid.Bool().Draw(t, "chunked")
		var msgs [][]byte
		for _, m := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 1, 200)).Draw(t, "messages") {
			if chunked || !bytes.Contains(append(m, endOfMessage[:5]...), []byte(endOfMessage)) {
				msgs = append(msgs, m)
			}
		}
		var wire bytes.Buffer
		out := newFramer(stream{nil, &wire})
		out.chunked = chunked
		for _, m := range msgs {
			if err := out.write(m); err != nil {
				t.Fatal(err)
			}
		}
		in := reader(iotest.HalfReader(&wire), chunked)
		for _, m := range msgs {
			got, err := in.read(200)
			if err != nil || !bytes.Equal(got, m) {
				t.Fatalf("read %q, %v; want %q", got, err, m)
			}
		}
	})
}

func fuzzFraming(f *testing.F, chunked bool) {
	f.Fuzz(func(t *testing.T, in []byte) {
		fr := reader(bytes.NewReader(in), chunked)
		total := 0
		for {
			msg, err := fr.read(1000)
			if err != nil {
				return
			}
			if len(msg) > 1000 {
				t.Fatalf("message of %d octets passed a limit of 1000", len(msg))
			}
			if total += len(msg); total > len(in) {
				t.Fatalf("%d octets of messages out of %d", total, len(in))
			}
		}
	})
}

func FuzzEndOfMessageFraming(f *testing.F) {
	f.Add([]byte("<hello/>]]>]]>\n<rpc/>]]>]]>"))
	f.Add([]byte("]]>]]>]]>]]>]]>]>"))
	fuzzFraming(f, false)
}

func FuzzChunkedFraming(f *testing.F) {
	f.Add([]byte("\n#4\nabcd\n#2\nxy\n##\n\n#1\nz\n##\n"))
	f.Add([]byte("\n#4294967295\nabcd\n##\n"))
	fuzzFraming(f, true)
}
