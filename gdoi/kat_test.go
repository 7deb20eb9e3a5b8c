package gdoi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
)

// The known answers are in testdata/gdoi-ikev1-kat.json: made by a program that has spoken to three daemons of other makes,
// and checked by a second one. The tests below spell them out field by field, hold the spelling against the file, and hold
// this package against both.

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func kat(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/gdoi-ikev1-kat.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(all[name])
	if err != nil || len(b) == 0 {
		t.Fatalf("known answer %q: %v, %d octets", name, err, len(b))
	}
	return b
}

// spell joins the fields of a message, written as hex with blanks where they help.
func spell(t testing.TB, fields ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(fields, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func octets(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(from + i)
	}
	return b
}

var compare = cmp.Options{
	cmp.AllowUnexported(lkh.Keys{}),
	cmp.Comparer(sa.Secret.Equal),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
}

// hashLen is the HASH payload in front of the plain PULL messages of the file; it is package ike's.
const hashLen = 4 + 32

func katKEK(t testing.TB) *sa.KEK {
	return &sa.KEK{
		SPI: [16]byte(kat(t, "kek_spi")), KeyBits: 256, IV: [16]byte(kat(t, "kek_iv")), Key: kat(t, "kek"),
		SigHash: sa.SHA256, SigPublic: kat(t, "rsa_spki"), Ack: AckKEKSHA256,
		Created: now, Hard: now.Add(24 * time.Hour),
	}
}

// katPolicy is the policy of messages 2 and 4.
func katPolicy(t testing.TB) *Policy {
	kek := katKEK(t)
	kek.Multicast = &sa.Multicast{Group: netip.MustParseAddrPort("233.252.0.1:848")}
	return &Policy{
		KEK: kek,
		TEKs: []sa.TEK{{
			SPI: 0x0badf00d, KeyBits: 256, Key: octets(0x01, 32), AuthKey: octets(0x41, 32),
			Policies: []sa.Policy{{Source: netip.MustParsePrefix("10.1.0.0/16"), Destination: netip.MustParsePrefix("10.2.0.0/16")}},
			Created:  now, Hard: now.Add(time.Hour),
		}},
		ActivationDelay: 10 * time.Second, DeactivationDelay: 30 * time.Second,
		PushFrom: netip.MustParseAddrPort("198.51.100.2:848"),
	}
}

func TestPull1KnownAnswer(t *testing.T) {
	want := spell(t,
		"05 00 0024", // NONCE: next ID, length 36
		"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", // Ni
		"00 00 000c", // ID: last, length 12
		"0b 00 0000", // KEY_ID; DOI-specific data zero
		"0000 04d2",  // group 1234
	)
	same(t, "the spelling", want, kat(t, "pull1_plain")[hashLen:])
	same(t, "AppendPull1", AppendPull1(nil, kat(t, "pull_ni"), GroupName{ID: 1234}, Options{}), want)
	ni, group, err := ParsePull1(isakmp.PayloadNONCE, want, Options{})
	if err != nil || group != (GroupName{ID: 1234}) {
		t.Fatalf("ParsePull1: group %v, %v", group, err)
	}
	same(t, "Ni", ni, kat(t, "pull_ni"))
}

func TestPull2KnownAnswer(t *testing.T) {
	want := spell(t,
		"01 00 0024", // NONCE: next SA, length 36
		"c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf", // Nr
		"00 00 00a0",                       // SA: last, length 160 with all that follows
		"00000002",                         // DOI GDOI
		"00000000",                         // situation
		"000f 0000",                        // attribute next payload SAK, RESERVED2
		"16 00 0049",                       // SAK: next GAP, length 73
		"11",                               // UDP
		"01 0350 04 c6336402",              // source: IPV4_ADDR, port 848, 4 octets: 198.51.100.2
		"01 0350 04 e9fc0001",              // destination: 233.252.0.1
		"aabbccddeeff00119988776655443322", // SPI
		"00000000",                         // RESERVED2: four octets, not six
		"8002 0003",                        // KEK_ALGORITHM AES
		"8003 0100",                        // KEK_KEY_LENGTH 256
		"0004 0004 00015180",               // KEK_KEY_LIFETIME 86400 s, long form
		"8005 0003",                        // SIG_HASH_ALGORITHM SHA-256
		"8006 0001",                        // SIG_ALGORITHM RSA
		"8007 0800",                        // SIG_KEY_LENGTH 2048
		"8009 0001",                        // KEK_ACK_REQUESTED KEK_SHA256
		"10 00 000c",                       // GAP: next SAT, length 12
		"8001 000a",                        // ATD 10 s
		"8002 001e",                        // DTD 30 s
		"00 00 003b",                       // SAT: last, length 59
		"01",                               // ESP
		"00",                               // any protocol
		"04 0000 08 0a010000 ffff0000",     // source: IPV4_ADDR_SUBNET, any port, 8 octets: 10.1.0.0/16
		"04 0000 08 0a020000 ffff0000",     // destination: 10.2.0.0/16
		"0c",                               // AES-CBC
		"0badf00d",                         // SPI
		"8001 0001",                        // life type: seconds
		"0002 0004 00000e10",               // life duration 3600, long form
		"8004 0001",                        // tunnel
		"8005 0005",                        // HMAC-SHA2-256
		"8006 0100",                        // key length 256
	)
	same(t, "the spelling", want, kat(t, "pull2_plain")[hashLen:])
	same(t, "AppendPull2", AppendPull2(nil, kat(t, "pull_nr"), katPolicy(t), now, Options{}), want)

	nr, p, err := ParsePull2(isakmp.PayloadNONCE, want, now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "Nr", nr, kat(t, "pull_nr"))
	expect := katPolicy(t)
	expect.KEK.Key, expect.KEK.IV, expect.KEK.SigPublic = nil, [16]byte{}, nil
	expect.TEKs[0].Key, expect.TEKs[0].AuthKey = nil, nil
	if diff := cmp.Diff(expect, p, compare); diff != "" {
		t.Errorf("ParsePull2 (-want +got):\n%s", diff)
	}
}

func TestPull4KnownAnswer(t *testing.T) {
	want := spell(t,
		"11 00 0008",  // SEQ: next KD, length 8
		"00000000",    // no PUSH sent yet
		"00 00 01cc",  // KD: last, length 460
		"0002 0000",   // two key packets, RESERVED2
		"01 00 0051",  // TEK, length 81
		"04 0badf00d", // SPI of 4 octets
		"0001 0020",   // TEK_ALGORITHM_KEY, 32 octets
		"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		"0002 0020", // TEK_INTEGRITY_KEY, 32 octets
		"4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60",
		"02 00 0173",                          // KEK, length 371
		"10 aabbccddeeff00119988776655443322", // SPI of 16 octets
		"0001 0030",                           // KEK_ALGORITHM_KEY, 48 octets:
		"101112131415161718191a1b1c1d1e1f",    // the IV,
		"a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf", // then the key
		"0002 0126", // SIG_ALGORITHM_KEY, 294 octets of SubjectPublicKeyInfo
		hex.EncodeToString(kat(t, "rsa_spki")),
	)
	same(t, "the spelling", want, kat(t, "pull4_plain")[hashLen:])
	p := katPolicy(t)
	same(t, "AppendPull4", AppendPull4(nil, p, Options{}), want)
	if first := Pull4First(p); first != isakmp.PayloadSEQ {
		t.Errorf("Pull4First %v", first)
	}

	_, got, err := ParsePull2(isakmp.PayloadNONCE, kat(t, "pull2_plain")[hashLen:], now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ParsePull4(isakmp.PayloadSEQ, want, got, Options{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got, compare); diff != "" {
		t.Errorf("policy after both messages (-want +got):\n%s", diff)
	}
}

// push1 brings a second TEK.
func katPush1(t testing.TB) *Push {
	return &Push{Seq: 1, Policy: &Policy{TEKs: []sa.TEK{{
		SPI: 0x0badf00e, KeyBits: 256, Key: octets(0x81, 32), AuthKey: octets(0xc1, 32),
		Policies: []sa.Policy{{Source: netip.MustParsePrefix("10.1.0.0/16"), Destination: netip.MustParsePrefix("10.2.0.0/16")}},
		Created:  now, Hard: now.Add(time.Hour),
	}}}}
}

func TestPush1KnownAnswer(t *testing.T) {
	tbs := spell(t,
		"72656b6579",       // "rekey", no NUL
		"aabbccddeeff0011", // cookies: the KEK's SPI
		"9988776655443322",
		"12 10 21 01", // first SEQ, version 1.0, exchange 33, E flag alone
		"00000000",    // message ID
		"000001cc",    // length 460: 28 + 8 + 75 + 89 + 260, here a whole number of blocks
		"01 00 0008",  // SEQ: next SA
		"00000001",    // the first under this KEK
		"11 00 004b",  // SA: next KD, length 75
		"00000002 00000000",
		"0010 0000",        // attribute next payload SAT
		"00 00 003b 01 00", // SAT as in PULL
		"04 0000 08 0a010000 ffff0000",
		"04 0000 08 0a020000 ffff0000",
		"0c 0badf00e",
		"8001 0001 0002 0004 00000e10 8004 0001 8005 0005 8006 0100",
		"09 00 0059", // KD: next SIG, length 89
		"0001 0000",  // one key packet
		"01 00 0051 04 0badf00e",
		"0001 0020 8182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0",
		"0002 0020 c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0",
	)
	same(t, "the spelling", tbs, kat(t, "push1_tbs"))
	kek := katKEK(t)
	msg := PushMessage(kek, katPush1(t), now, Options{})
	same(t, "signInput", signInput(msg), tbs)

	plain := kat(t, "push1_plain")
	same(t, "plain, before SIG", msg[28:], plain[:len(plain)-260])
	signature := plain[len(plain)-256:]
	wire := kat(t, "push1_digestinfo_unpadded")
	same(t, "SealPush", SealPush(kek, msg, signature), wire)

	if spi, ok := PushSPI(wire); !ok || spi != kek.SPI {
		t.Errorf("PushSPI: %x, %v", spi, ok)
	}
	got, err := OpenPush(kek, nil, wire, now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(katPush1(t), got, compare); diff != "" {
		t.Errorf("OpenPush (-want +got):\n%s", diff)
	}
	if kek.Seq != 0 {
		t.Errorf("OpenPush set the KEK's Seq to %d", kek.Seq)
	}
}

func TestPush2KnownAnswer(t *testing.T) {
	tbs := spell(t,
		"72656b6579",
		"aabbccddeeff0011 9988776655443322",
		"12 10 21 01 00000000",
		"00000154",   // length 340 without padding; 348 on the wire
		"0c 00 0008", // SEQ: next D
		"00000002",
		"0c 00 0010", // D: next D, length 16
		"00000002",   // DOI GDOI
		"01 04 0001", // protocol ESP, SPIs of 4 octets, one
		"00000000",   // zero: every TEK
		"09 00 001c", // D: next SIG, length 28
		"00000002",
		"00 10 0001",                       // protocol 0: KEK, SPIs of 16 octets, one
		"00000000000000000000000000000000", // zero: every KEK
	)
	same(t, "the spelling", tbs, kat(t, "push2_tbs"))
	kek := katKEK(t)
	kek.Seq = 1
	push := &Push{Seq: 2, DeleteAll: true}
	msg := PushMessage(kek, push, now, Options{})
	same(t, "signInput", signInput(msg), tbs)
	plain := kat(t, "push2_delete_all_plain")
	wire := kat(t, "push2_delete_all")
	same(t, "SealPush", SealPush(kek, msg, plain[len(plain)-256:]), wire)
	got, err := OpenPush(kek, nil, wire, now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(push, got, compare); diff != "" {
		t.Errorf("OpenPush (-want +got):\n%s", diff)
	}
}

// The reference implementation signs the bare hash; that is a quirk and no signature of RFC 6407 section 5.3.6.1.
func TestPushRawHashIsRefused(t *testing.T) {
	_, err := OpenPush(katKEK(t), nil, kat(t, "push1_rawhash_unpadded"), now, Options{})
	wantKind(t, "a signature without DigestInfo", err, ErrSignature)
}

func TestAckKnownAnswer(t *testing.T) {
	want := spell(t,
		"aabbccddeeff0011 9988776655443322", // the PUSH's cookies
		"08 10 23 00",                       // first HASH, version 1.0, exchange 35, no flag
		"00000000 00000054",                 // message ID, length 84
		"12 00 0024",                        // HASH: next SEQ
		"b2cc22744e9f7a46311289b0e88a066aaced185f07cd046624305ba99726f378",
		"05 00 0008 00000001", // SEQ: next ID, the PUSH's number
		"00 00 000c",          // ID: last, length 12
		"01 00 0000 c6336401", // IPV4_ADDR, protocol and port 0: 198.51.100.1
	)
	same(t, "the spelling", want, kat(t, "ack1"))
	kek := katKEK(t)
	key := AckKey(kek, nil, Options{})
	same(t, "AckKey", key, kat(t, "ack_key_L512"))
	same(t, "the key with the other reading of L", AckKey(kek, nil, Options{AckShortL: true}), kat(t, "ack_key_L256_not_literal"))
	member := netip.MustParseAddr("198.51.100.1")
	same(t, "AppendAck", AppendAck([]byte("before"), Ack{SPI: kek.SPI, Seq: 1, Member: member}, key), append([]byte("before"), want...))

	ack, err := ParseAck(want)
	if err != nil {
		t.Fatal(err)
	}
	if ack.SPI != kek.SPI || ack.Seq != 1 || ack.Member != member {
		t.Errorf("ParseAck: %x, %d, %v", ack.SPI, ack.Seq, ack.Member)
	}
	if !ack.Verify(key) {
		t.Error("the acknowledgement does not verify")
	}
}
