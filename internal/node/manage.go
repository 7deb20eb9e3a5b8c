package node

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"gvpn/cli"
	"gvpn/commit"
	"gvpn/config"
	"gvpn/dataplane"
	"gvpn/oper"
)

// Manage implements cli.Backend: f has the configuration database to itself. If f has committed, the management doors
// follow the new running configuration before Manage returns.
func (n *Node) Manage(f func(db *commit.DB) error) error {
	n.manage.Lock()
	defer n.manage.Unlock()
	select {
	case <-n.closing:
		return errClosing
	default:
	}
	before := n.db.Number()
	err := f(n.db)
	if n.db.Number() != before {
		n.active.follow(n.db)
		if n.services != nil {
			n.services.configure(n.db.Effective())
		}
	}
	n.armRollback()
	return err
}

// rollbackEvery is how often the time of a pending rollback is looked at. A timer alone is not enough: it stands still while
// the machine sleeps, and does not follow a clock that is set.
const rollbackEvery = time.Second

// armRollback sets the timer for what package commit has to do at a time: the rollback of a commit that was not confirmed, or a
// commit at a time. Called with manage held.
func (n *Node) armRollback() {
	if n.rollback != nil {
		n.rollback.Stop()
		n.rollback = nil
	}
	if deadline, ok := n.db.Deadline(); ok {
		n.rollback = time.AfterFunc(min(max(deadline.Sub(n.now()), 0), rollbackEvery), n.handleDeadline)
	}
}

// handleDeadline runs on the timer's goroutine.
func (n *Node) handleDeadline() {
	var news []string
	err := n.Manage(func(db *commit.DB) (err error) {
		news, err = db.HandleTimeout()
		return err
	})
	if err != nil && !errors.Is(err, errClosing) {
		n.log.Error("will try again", "error", err.Error())
	}
	for _, text := range news {
		n.log.Warn(text)
		n.editors.Broadcast(text)
	}
}

// State implements cli.Backend.
func (n *Node) State() (oper.State, error) {
	var st oper.State
	if !n.call(func(now time.Time) {
		e := n.engine.State()
		st = oper.State{
			Now: now, IKE: e.IKE, Server: e.Server, Cluster: e.Cluster, Member: e.Member,
			Groups: n.engine.Groups(), VPNs: n.engine.VPNs(), Traffic: traffic(n.plane.State(now).Stats),
			NotSent: n.sockets.lost.Load(),
			Refused: map[string]uint64{
				"short": e.Refused.Short, "long": e.Refused.Long, "wrong-length": e.Refused.Length,
				"wrong-version": e.Refused.Version, "unknown-exchange": e.Refused.Exchange,
				"not-ike": e.Refused.NotIKE, "multicast-no-push": e.Refused.Multicast,
			},
		}
	}) {
		return st, errClosing
	}
	return st, nil
}

// traffic words the data plane's counters as the reply to `show security group-vpn member ipsec statistics` does.
func traffic(s dataplane.Stats) oper.Traffic {
	return oper.Traffic{
		EncryptedBytes: s.ESPEncryptedBytes, DecryptedBytes: s.ESPDecryptedBytes,
		EncryptedPackets: s.ESPEncryptedPackets, DecryptedPackets: s.ESPDecryptedPackets,
		AuthenticationFailures: s.ESPAuthenticationFailures, DecryptionFailures: s.ESPDecryptionFailures,
		BadHeaders: s.BadHeaders, BadTrailers: s.BadTrailers, InvalidSPI: s.InvalidSPI,
		TSCheckFailures: s.TSCheckFail, ExceedsTunnelMTU: s.ExceedsTunnelMTU, Discarded: s.Discards + s.PolicyMismatchReceived,
		D3P:             oper.D3PStats(s.D3P),
		ExcludeSessions: s.ExcludePackets, FailOpenSessions: s.FailOpenPacketsSent + s.FailOpenPacketsReceived,
		FailCloseDropped: s.FailCloseDrops,
	}
}

// Do implements cli.Backend.
func (n *Node) Do(command any) error {
	err := errClosing
	n.call(func(now time.Time) {
		if _, ok := command.(oper.ClearTraffic); ok {
			n.plane.ClearStats()
			err = nil
			return
		}
		err = n.engine.Do(now, command)
	})
	return err
}

// Editors implements cli.Backend.
func (n *Node) Editors() *cli.Editors { return &n.editors }

// Lab implements cli.Backend.
func (n *Node) Lab() cli.Lab { return n.lab }

// openConfiguration opens the history, has the engines carry out what they have not yet, and where there is no history
// commits the initial configuration.
func (n *Node) openConfiguration(o Options) (err error) {
	n.manage.Lock()
	defer n.manage.Unlock()
	if n.db, err = commit.Open(n.store, n, n.now); err != nil {
		return err
	}
	if n.db.Number() > 0 || o.Config == nil {
		if err := n.db.Applied(n.engine.Applied()); err != nil {
			return err
		}
		// What fell due while the node was down, the rollback of a confirmed commit above all, is done before anybody can manage
		// the node. What fails now is tried again when the first Manage arms the timer.
		news, err := n.db.HandleTimeout()
		for _, text := range news {
			n.log.Warn(text)
		}
		if err != nil {
			n.log.Error("will try again", "error", err.Error())
		}
		return nil
	}
	var t config.Tree
	var errs config.Errors
	set := isSet(o.Config)
	if set {
		t, errs = t.LoadSet(nil, o.File, o.Config)
	} else {
		t, errs = t.LoadCurly(nil, config.Override, o.File, o.Config)
	}
	if err := errs.Err(); err != nil {
		return err
	}
	n.db.Candidate().Update(t)
	_, err = n.db.Commit(commit.Options{User: "root", Client: "file", Comment: o.File})
	if errors.As(err, &errs) {
		errs.Locate(o.File, o.Config, set)
		if errs[0].Line > 0 {
			return errs
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	return nil
}

// isSet reports whether a configuration file is in set form: its first statement begins as a set line does.
func isSet(text []byte) bool {
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		rest, set := bytes.CutPrefix(line, []byte("set"))
		return set && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t')
	}
	return false
}
