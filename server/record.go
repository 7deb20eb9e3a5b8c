package server

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

// The records on disk. Names are escaped so that keys are printable ASCII without further slashes.
//
//	server/commit                        number 8
//	server/group/NAME/sas                version 1 | sas | old KEK (0 or 1 sas) | signature 1 | public key | private key |
//	                                     period 4 (ms) | retries 2 | sender ID bits 1 | sender IDs given 4 | pushes |
//	                                     owed | last beginning of sender IDs 8 (ms)     these two from version 3 on
//	server/group/NAME/member/GW/ADDRESS  version 1 | gateway | local | remote | since 8 (ms) | updated 8 | flags 1 | leaf 2
//	server/group/NAME/lkh/head           lkh.Tree.Head
//	server/group/NAME/lkh/part/NUMBER    lkh.Tree.Part
//	server/leaving/NUMBER                version 1 | pushes     of a group that is gone (T14)
//	server/spent/SPI                     version 1 | number 4 | end of the KEK 8 (ms)     SPI in hexadecimal
//
//	sas:     length 4 | sa.Update, times from the Unix epoch; its sender IDs are those that were not given, but in records of before
//	         they had an epoch: these have their length and how many were given behind the retries, which are 0 otherwise
//	pushes:  count 2 | { flags 1 | SPI 16 | number 4 | period 4 | retries 2 | acknowledgement type 2 | options 2 |
//	                     sealed: datagram, ack key   or   not: sas (the KEK), message |
//	                     [multicast: local | group | TTL 1 | interface] | count 4 | { local | remote } }
//	         whom a push is for stands there unless its flags say that it is for all members of the group, as their records have them
//	owed:    count 4 | { flags 1 | SPI 4 }
//	key, datagram, message: length 4 | octets        gateway, interface: length 4 | text
//	address: length 1 (4 or 16) | address | port 2
//
// All of a group's SAs and the pushes that announce them are one record, so that no crash can part a push number from the
// push that has it, nor a TEK that is destroyed from the word that is owed of it.
const (
	prefix        = "server/"
	commitKey     = prefix + "commit"
	groupPrefix   = prefix + "group/"
	leavingPrefix = prefix + "leaving/"
	spentPrefix   = prefix + "spent/"
	sasSuffix     = "/sas"
	memberInfix   = "/member/"

	recordVersion = 2
	groupVersion  = 3 // of a group's sas; version 2 is read too
)

const (
	pushSealed = 1 << iota
	pushKeys
	pushAll // for the group's members: none is named
	pushMulticast
	pushFlags = 1<<iota - 1
)

const (
	owedIEC61850 = 1 << iota
	owedFlags    = 1<<iota - 1
)

const (
	memberAcknowledges = 1 << iota
	memberSilent
	memberFlags = 1<<iota - 1
)

// onDisk lists the records of a turn by key, which has members before their group, except that a store that stops between two of
// them must not lose what is kept of a KEK or of pushes, which comes before the record of the group that has them no more; nor whom a
// push is for, which that record says before the members go for whom it is.
func (s *Server) onDisk() []string {
	var pushing []string // what begins the keys of such members
	for _, g := range s.groups {
		if len(s.records) > 1 && len(g.box.pushes) > 0 {
			pushing = append(pushing, groupPrefix+escape(g.name)+memberInfix)
		}
	}
	rank := func(key string) int {
		switch gone := s.records[key] == nil; {
		case !gone && (strings.HasPrefix(key, spentPrefix) || strings.HasPrefix(key, leavingPrefix)):
			return 0
		case gone && slices.ContainsFunc(pushing, func(p string) bool { return strings.HasPrefix(key, p) }):
			return 2
		}
		return 1
	}
	return slices.SortedFunc(maps.Keys(s.records), func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
}

func (g *group) key() string { return groupPrefix + escape(g.name) + sasSuffix }

func (m *member) key() string {
	return groupPrefix + escape(m.group.name) + memberInfix + escape(m.gateway) + "/" + escape(m.place().text())
}

func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == ':':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+3 > len(s) {
			return "", errors.New("cut escape")
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("bad escape")
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

var epoch = time.Unix(0, 0).UTC()

func appendUint64(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

func appendBytes(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	raw := a.Addr().AsSlice()
	return binary.BigEndian.AppendUint16(append(append(b, byte(len(raw))), raw...), a.Port())
}

func appendMillis(b []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(d.Milliseconds()))
}

func appendKEK(b []byte, k *sa.KEK) []byte {
	return appendBytes(b, sa.AppendUpdate(nil, &sa.Update{Group: "-", KEK: k}, epoch))
}

func (g *group) record() []byte {
	u := sa.Update{
		Group: g.name, GroupID: g.conf.ID, Version: g.version, ActivationDelay: g.delay, Full: true, KEK: g.kek, TEKs: g.teks,
		Senders: g.senders.recorded(),
	}
	b := appendBytes([]byte{groupVersion}, sa.AppendUpdate(nil, &u, epoch))
	if g.old != nil {
		b = appendKEK(append(b, 1), g.old)
	} else {
		b = append(b, 0)
	}
	b = appendBytes(appendBytes(append(b, byte(g.sigAlg)), g.sig.Public), g.sig.Private)
	b = binary.BigEndian.AppendUint16(appendMillis(b, g.period), uint16(g.retries))
	b = append(b, 0, 0, 0, 0, 0)
	b = appendOwed(g.box.append(b), g.owed)
	return appendUint64(b, uint64(g.senders.reset.UnixMilli()))
}

func appendOwed(b []byte, owed []doomed) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(owed)))
	for _, d := range owed {
		var flags byte
		if d.iec61850 {
			flags |= owedIEC61850
		}
		b = binary.BigEndian.AppendUint32(append(b, flags), d.spi)
	}
	return b
}

func (s *Server) saveBox(b *outbox) {
	key := leavingPrefix + strconv.FormatUint(b.number, 10)
	s.records[key] = nil
	if len(b.pushes) > 0 {
		s.records[key] = b.append([]byte{recordVersion})
	}
}

func (b *outbox) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b.pushes)))
	for _, p := range b.pushes {
		var flags byte
		if p.sealed != nil {
			flags |= pushSealed
		}
		if p.keys {
			flags |= pushKeys
		}
		named := p.open
		if !p.named && len(p.open) == len(b.group.byPlace) {
			flags |= pushAll
			named = nil
		}
		if p.cast != nil {
			flags |= pushMulticast
		}
		dst = append(append(dst, flags), p.id.spi[:]...)
		dst = binary.BigEndian.AppendUint32(dst, p.id.seq)
		dst = binary.BigEndian.AppendUint16(appendMillis(dst, p.period), uint16(p.retries))
		dst = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(dst, p.ack), p.options.Bits())
		if p.sealed != nil {
			dst = appendBytes(appendBytes(dst, p.sealed), p.ackKey)
		} else {
			dst = appendBytes(appendKEK(dst, p.kek), p.message)
		}
		if p.cast != nil {
			dst = appendAddrPort(appendAddrPort(dst, p.cast.lane.local), p.way.Group)
			dst = appendBytes(append(dst, p.way.TTL), []byte(p.way.Interface))
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(named)))
		for _, d := range named {
			dst = appendAddrPort(appendAddrPort(dst, d.lane.local), d.lane.remote)
		}
	}
	return dst
}

func (m *member) record() []byte {
	b := appendBytes([]byte{recordVersion}, []byte(m.gateway))
	b = appendAddrPort(appendAddrPort(b, m.local), m.remote)
	b = appendUint64(appendUint64(b, uint64(m.since.UnixMilli())), uint64(m.updated.UnixMilli()))
	var flags byte
	if m.acknowledges {
		flags |= memberAcknowledges
	}
	if m.silent {
		flags |= memberSilent
	}
	return binary.BigEndian.AppendUint16(append(b, flags), m.leaf)
}

// saved is a group as its records have it.
type saved struct {
	keys    []string // its records
	state   savedState
	tree    treeRecords
	members []*member
}

// zero destroys the keys of a group that is not configured any more.
func (s *saved) zero() {
	s.state.zero()
	s.tree.zero()
}

type savedState struct {
	update  sa.Update
	old     *sa.KEK
	sig     turn.KeyPair
	sigAlg  sa.SigAlg
	period  time.Duration
	retries int
	pushes  []savedPush
	owed    []doomed
	reset   time.Time
}

type savedPush struct {
	push    *push
	targets []lanePlace
}

func (s *savedState) zero() {
	s.update.Zero()
	s.old.Zero()
	s.sig.Private.Zero()
	for _, p := range s.pushes {
		p.push.zero()
	}
}

// Restore reads the records of an earlier run: every Persist whose key begins with "server/", the last of each key. Others are
// ignored. It comes before the first Configure, which finds its groups there. An error names the records that could not be
// read; they are left out, and what they held is made anew.
func (s *Server) Restore(now time.Time, records map[string][]byte) error {
	defer s.end()
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if err := s.restore(now, key, records[key]); err != nil {
			errs = append(errs, fmt.Errorf("server: record %s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) restore(now time.Time, key string, value []byte) error {
	r := &reader{b: value}
	switch {
	case key == commitKey:
		s.applied = r.uint64()
		return r.end()
	case strings.HasPrefix(key, leavingPrefix):
		n, err := strconv.ParseUint(key[len(leavingPrefix):], 10, 64)
		if err != nil {
			return errors.New("its key has no number")
		}
		r.version()
		pushes := r.pushes()
		if slices.ContainsFunc(pushes, func(p savedPush) bool { return !p.push.named }) {
			r.fail("push for all members of a group that is gone")
		}
		if err := r.end(); err != nil {
			return err
		}
		s.lastBox = max(s.lastBox, n)
		b := &outbox{number: n}
		s.leaving = append(s.leaving, b)
		s.resume(now, b, pushes, nil)
		if len(b.pushes) == 0 {
			s.saveBox(b)
		}
		return nil
	case strings.HasPrefix(key, spentPrefix):
		return s.restoreSpent(now, key[len(spentPrefix):], r)
	case strings.HasPrefix(key, groupPrefix):
		name, rest, _ := strings.Cut(key[len(groupPrefix):], "/")
		name, err := unescape(name)
		if err != nil {
			return err
		}
		g := s.saved[name]
		if g == nil {
			g = &saved{}
			s.saved[name] = g
		}
		g.keys = append(g.keys, key)
		switch {
		case "/"+rest == sasSuffix:
			st := r.state()
			if err := r.end(); err != nil {
				return err
			}
			g.state = st
			return nil
		case strings.HasPrefix("/"+rest, memberInfix):
			m := r.member()
			if err := r.end(); err != nil {
				return err
			}
			g.members = append(g.members, m)
			return nil
		case strings.HasPrefix("/"+rest, treeInfix):
			return g.tree.take("/"+rest, value)
		}
	}
	return errors.New("unknown kind")
}

// adoptSaved gives a group that is being configured what its records hold.
func (s *Server) adoptSaved(now time.Time, g *group, r *saved) {
	st := &r.state
	g.restored = true
	g.kek, g.old, g.teks, g.sig, g.sigAlg = st.update.KEK, st.old, st.update.TEKs, st.sig, st.sigAlg
	g.version, g.delay = st.update.Version, st.update.ActivationDelay
	if st.period > 0 {
		g.period, g.retries = st.period, st.retries
	}
	for _, m := range r.members {
		m.group = g
		g.members[m.place()] = m
		g.byPlace = append(g.byPlace, m)
	}
	slices.SortFunc(g.byPlace, compareMembers)
	s.ownSaved(g, st.update.Senders)
	g.owed, g.senders.reset = st.owed, st.reset
	if g.senders.reset.After(now) { // by a clock that was put back since: the pause must not last until then
		g.senders.reset = now
	}
	s.adoptTree(g, &r.tree)
	s.resume(now, g.box, st.pushes, g)
	s.dirty[g] = true
}

// resume sends the pushes of an earlier run again. Members that acknowledged them then may say nothing now, so nobody is judged
// by them.
func (s *Server) resume(now time.Time, b *outbox, pushes []savedPush, g *group) {
	members := make(map[lanePlace]*member)
	if g != nil {
		for _, m := range g.members {
			members[m.lane()] = m
		}
	}
	for _, saved := range pushes {
		p := saved.push
		p.box, p.again = b, true
		if p.cast != nil {
			p.cast.lane.box = b
		}
		if slices.ContainsFunc(s.pushes[p.id], func(o *push) bool { return o.options == p.options }) {
			continue // in a leaving record too: a crash came between the two
		}
		targets := saved.targets
		if !p.named {
			for _, m := range g.byPlace {
				targets = append(targets, m.lane())
			}
		}
		if len(targets) == 0 {
			p.zero()
			continue
		}
		s.start(p)
		slices.SortFunc(targets, lanePlace.compare)
		parcels := make([]parcel, len(targets))
		for i, at := range targets {
			enqueue(p, at, members[at], &parcels[i])
		}
	}
	for _, p := range slices.Clone(b.pushes) {
		for _, d := range slices.Clone(p.open) {
			s.advance(now, d.lane)
		}
	}
}

// reader reads a record; after the first error every read gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.fail("%d octets left, want %d", len(r.b), n)
	}
	if r.err != nil {
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uint8() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// bytes reads octets into memory of their own.
func (r *reader) bytes() []byte {
	n := int(r.uint32())
	return append([]byte(nil), r.take(n)...)
}

func (r *reader) millis() time.Duration { return time.Duration(r.uint32()) * time.Millisecond }

func (r *reader) time() time.Time { return time.UnixMilli(int64(r.uint64())).UTC() }

func (r *reader) addrPort() netip.AddrPort {
	n := int(r.uint8())
	if r.err == nil && n != 4 && n != 16 {
		r.fail("address of %d octets", n)
	}
	a, _ := netip.AddrFromSlice(r.take(n))
	return netip.AddrPortFrom(a, r.uint16())
}

func (r *reader) update() sa.Update {
	n := int(r.uint32())
	b := r.take(n)
	if r.err != nil {
		return sa.Update{}
	}
	u, err := sa.ParseUpdate(b, epoch)
	if err != nil {
		r.fail("%w", err)
	}
	return u
}

func (r *reader) version() { r.versions(recordVersion, recordVersion) }

// versions reads a version that is one of those from first to last.
func (r *reader) versions(first, last byte) byte {
	v := r.uint8()
	switch {
	case r.err != nil || v >= first && v <= last:
	case first == last:
		r.fail("version %d, this program knows %d", v, last)
	default:
		r.fail("version %d, this program knows %d to %d", v, first, last)
	}
	return v
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail("%d octets too many", len(r.b))
	}
	return r.err
}

func (r *reader) state() (st savedState) {
	version := r.versions(recordVersion, groupVersion)
	st.update = r.update()
	switch r.uint8() {
	case 0:
	case 1:
		st.old = r.update().KEK
	default:
		r.fail("neither an old KEK nor none")
	}
	st.sigAlg = sa.SigAlg(r.uint8())
	st.sig.Public = r.bytes()
	st.sig.Private = r.bytes()
	st.period, st.retries = r.millis(), int(r.uint16())
	if b, given := int(r.uint8()), r.uint32(); b > 0 {
		st.update.Senders = r.sendersWithout(b, given)
	}
	st.pushes = r.pushes()
	if version >= groupVersion {
		st.owed = r.owed()
		st.reset = r.time()
	}
	return st
}

func (r *reader) owed() (owed []doomed) {
	for range r.uint32() {
		if r.err != nil {
			return nil
		}
		flags := r.uint8()
		if flags&^owedFlags != 0 {
			r.fail("flags %#02x of a TEK that is owed unknown", flags)
		}
		owed = append(owed, doomed{r.uint32(), flags&owedIEC61850 != 0})
	}
	return owed
}

// sendersWithout is the rest of a run as records had it before runs had an epoch.
func (r *reader) sendersWithout(bits int, given uint32) sa.Senders {
	if r.err == nil && (bits > sa.MaxSenderBits || given > 1<<bits) {
		r.fail("%d sender IDs of %d bits", given, bits)
	}
	return sa.Senders{Bits: bits, First: given, Count: 1<<bits - given}
}

func (r *reader) pushes() (pushes []savedPush) {
	for range r.uint16() {
		if r.err != nil {
			return nil
		}
		flags := r.uint8()
		if flags&^pushFlags != 0 {
			r.fail("push flags %#02x unknown", flags)
		}
		p := &push{keys: flags&pushKeys != 0, named: flags&pushAll == 0}
		copy(p.id.spi[:], r.take(16))
		p.id.seq = r.uint32()
		p.period, p.retries, p.ack = r.millis(), int(r.uint16()), r.uint16()
		p.options = gdoi.OptionsOf(r.uint16())
		if flags&pushSealed != 0 {
			p.sealed = r.bytes()
			if p.ackKey = r.bytes(); len(p.ackKey) == 0 {
				p.ackKey = nil
			}
			if r.err == nil && len(p.sealed) == 0 {
				r.fail("push without a datagram")
			}
		} else {
			p.kek = r.update().KEK
			p.message = r.bytes()
			if r.err == nil && (p.kek == nil || len(p.message) == 0) {
				r.fail("push without a KEK or a message")
			}
			if r.err == nil {
				p.ackKey = gdoi.AckKey(p.kek, nil, p.options)
			}
		}
		if flags&pushMulticast != 0 {
			from, way := r.addrPort(), new(sa.Multicast)
			way.Group, way.TTL, way.Interface = r.addrPort(), r.uint8(), string(r.bytes())
			if a := way.Group.Addr(); r.err == nil && !(a.Is4() && a.IsMulticast()) {
				r.fail("push to %v, which is no multicast group", way.Group)
			}
			p.castFrom(from, way)
		}
		saved := savedPush{push: p}
		for range r.uint32() {
			if r.err != nil {
				return nil
			}
			local := r.addrPort()
			saved.targets = append(saved.targets, lanePlace{local, r.addrPort()})
		}
		if !p.named && len(saved.targets) > 0 {
			r.fail("push for all members, and %d named ones", len(saved.targets))
		}
		pushes = append(pushes, saved)
	}
	return pushes
}

func (r *reader) member() *member {
	r.version()
	m := &member{gateway: string(r.bytes())}
	m.local, m.remote = r.addrPort(), r.addrPort()
	m.since, m.updated = r.time(), r.time()
	flags := r.uint8()
	if flags&^memberFlags != 0 {
		r.fail("member flags %#02x unknown", flags)
	}
	m.acknowledges, m.silent = flags&memberAcknowledges != 0, flags&memberSilent != 0
	m.leaf = r.uint16()
	return m
}
