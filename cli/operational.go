package cli

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/internal/auth"
	"gvpn/oper"
)

// operationalCommands is the grammar of operational mode.
func operationalCommands() []*command {
	show := join([]*command{
		{name: "configuration", help: "Show current configuration", parse: parseShowConfiguration},
		{name: "system", help: "Show system information", sub: []*command{
			{name: "commit", help: "Show pending commit requests (if any) and commit history", parse: parseShowCommits},
			{name: "configuration", help: "Show configuration files", sub: []*command{
				{name: "rescue", help: "Show rescue configuration", parse: parseShowRescue},
			}},
		}},
		{name: "version", help: "Show software process revision levels", parse: noArguments(action{run: showVersion})},
	}, operTree("show"))
	clear := join([]*command{
		{name: "system", help: "Clear system information", sub: []*command{
			{name: "commit", help: "Clear pending commit", needs: auth.Configure, parse: noArguments(action{run: clearCommit})},
		}},
	}, operTree("clear"))
	request := join([]*command{
		{name: "lab", help: "Nodes of the lab", available: func(s *Shell) bool { return s.backend.Lab() != nil }, sub: []*command{
			{name: "node", help: "Move to another node", parse: parseLabNode},
		}},
		{name: "system", help: "Perform system-level operations", sub: rescueCommands()},
	}, operTree("request"))
	return []*command{
		{name: "clear", help: "Clear information in the system", needs: auth.Clear, sub: clear},
		{name: "configure", help: "Manipulate software configuration information", needs: auth.Configure, parse: parseConfigure},
		{name: "exit", help: "Exit the management session", parse: noArguments(action{run: leaveShell})},
		{name: "help", help: "Show what may be entered", parse: noArguments(action{run: helpCommand})},
		{name: "quit", help: "Exit the management session", parse: noArguments(action{run: leaveShell})},
		{name: "request", help: "Make system-level requests", needs: auth.Configure, sub: request},
		{name: "set", help: "Set CLI properties", sub: preferences()},
		{name: "show", help: "Show system information", needs: auth.View, sub: show},
	}
}

// wordHelp is the help of words inside of the operational commands.
var wordHelp = map[string]string{
	"security":              "Security information",
	"group-vpn":             "Group VPN information",
	"server":                "Group VPN key server",
	"member":                "Group VPN member",
	"ike":                   "IKE information",
	"ipsec":                 "IPsec information",
	"kek":                   "KEK information",
	"group":                 "Group information",
	"server-cluster":        "Server cluster information",
	"security-associations": "Security associations",
	"statistics":            "Statistics",
}

// operTree makes the commands of package oper that begin with a verb into a tree below that verb.
func operTree(verb string) []*command {
	root := &command{}
	for _, c := range oper.Commands() {
		words := strings.Fields(c.Words)
		if words[0] != verb {
			continue
		}
		at := root
		for _, w := range words[1:] {
			i := slices.IndexFunc(at.sub, func(s *command) bool { return s.name == w })
			if i < 0 {
				i = len(at.sub)
				at.sub = append(at.sub, &command{name: w, help: wordHelp[w]})
			}
			at = at.sub[i]
		}
		at.help = c.Help
		at.parse = func(p *parser) (action, error) { return parseOper(p, c) }
	}
	return root.sub
}

// parseOper reads the arguments of one of oper's commands, in any order, each at most once.
func parseOper(p *parser, c oper.Command) (action, error) {
	var args oper.Args
	left := slices.Clone(c.Args)
	for {
		p.mayEnd()
		if p.atEnd() {
			break
		}
		rows := argumentRows(left)
		if p.offer(rows...) {
			return action{}, errOffered
		}
		t, _ := p.peek()
		i, err := match(t, rows)
		if err != nil {
			return action{}, err
		}
		var kind oper.Argument
		switch {
		case i >= 0:
			p.next++
			kind = rows[i].argument
			t.text = rows[i].name
		case slices.Contains(left, oper.Peer) && !slices.ContainsFunc(argumentRows(c.Args), func(r row) bool { return r.name == t.text }):
			kind = oper.Peer
		default:
			return action{}, &syntaxError{at: t.start, text: notExpected, word: t.text}
		}
		if err := p.argument(&args, kind, t); err != nil {
			return action{}, err
		}
		left = kind.Beside(left)
	}
	a := action{run: func(r *run) error { return operate(r, c, args) }}
	if c.Reply != nil {
		a.forms = []form{formXML, formJSON}
	}
	return a, nil
}

// argumentRows are the keywords of the arguments that may still be given.
func argumentRows(left []oper.Argument) []row {
	var rows []row
	add := func(a oper.Argument, name, help string) {
		rows = append(rows, row{name: name, help: help, marker: ' ', argument: a})
	}
	for _, a := range left {
		switch a {
		case oper.Level:
			add(a, "brief", "Display brief output (default)")
			add(a, "detail", "Display detailed output")
		case oper.Group:
			add(a, "group", "Name of the group")
		case oper.GroupID:
			add(a, "group-id", "Identifier of the group")
		case oper.Peer:
			rows = append(rows, row{name: "<peer-address>", help: "Address of the peer", marker: ' ', value: true})
		case oper.PeerGateway:
			add(a, "peer-gateway", "Name of the peer's gateway")
		case oper.VPN:
			add(a, "vpn", "Name of the group VPN")
		case oper.Index:
			add(a, "index", "Index of the security association")
		case oper.Now:
			add(a, "now", "Send own members no delete (sub-servers send theirs one all the same)")
		case oper.KEK:
			add(a, "kek", "The key encryption key only")
		case oper.TEK:
			add(a, "tek", "The traffic encryption keys only")
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	return rows
}

// argument reads the value of an argument whose keyword, if it has one, was taken.
func (p *parser) argument(args *oper.Args, kind oper.Argument, keyword token) error {
	name := func(to *string, list ...string) error {
		t, err := p.value(append(p.configuredNames(list...), row{name: "<" + keyword.text + ">", help: "Name", marker: ' '})...)
		*to = t.text
		return err
	}
	switch kind {
	case oper.Level:
		args.Detail = keyword.text == "detail"
	case oper.Group:
		return name(&args.Group, "security", "group-vpn", "server", "group")
	case oper.PeerGateway:
		return name(&args.PeerGateway, "security", "group-vpn", "server", "ike", "gateway")
	case oper.VPN:
		return name(&args.VPN, "security", "group-vpn", "member", "ipsec", "vpn")
	case oper.GroupID:
		n, err := p.number("Identifier of the group", 1, oper.MaxGroupID)
		args.GroupID = uint32(n)
		return err
	case oper.Index:
		n, err := p.number("Index", 1, oper.MaxIndex)
		args.Index = uint64(n)
		return err
	case oper.Peer:
		t, err := p.value(row{name: "<peer-address>", help: "Address of the peer"})
		if err != nil {
			return err
		}
		if args.Peer, err = netip.ParseAddr(t.text); err != nil {
			return p.fail(t, "invalid ip address or hostname: %s", strconv.Quote(t.text))
		}
	case oper.Now:
		args.Now = true
	case oper.KEK:
		args.KEK = true
	case oper.TEK:
		args.TEK = true
	}
	return nil
}

// configuredNames are the names of the entries of a list of the configuration.
func (p *parser) configuredNames(path ...string) []row {
	n := p.shell.tree().Root()
	for _, name := range path[:len(path)-1] {
		n = n.Child(name)
	}
	var rows []row
	for e := range n.Entries(path[len(path)-1]) {
		if rows = append(rows, row{name: e.Key()[0], marker: ' '}); len(rows) == maxOffered {
			break
		}
	}
	return rows
}

// operate carries out one of oper's commands, and shows its reply, if it has one, in the form that was asked for.
func operate(r *run, c oper.Command, args oper.Args) error {
	answer, err := c.Run(r.backend, args)
	if err != nil || answer == nil {
		return err
	}
	return r.answer(answer)
}

// inReply puts XML into the element in which Junos shows it.
func inReply(content func(dst []byte) []byte) []byte {
	return inReplyOf("", content)
}

// inReplyOf is inReply with attributes of the reply.
func inReplyOf(attributes string, content func(dst []byte) []byte) []byte {
	dst := content(fmt.Appendf(nil, "<rpc-reply%s>\n", attributes))
	return append(dst, "    <cli>\n        <banner></banner>\n    </cli>\n</rpc-reply>\n"...)
}

func parseShowConfiguration(p *parser) (action, error) {
	st, err := p.configured(nil, verbShow)
	if err != nil {
		return action{}, err
	}
	return action{
		forms: []form{formSet, formXML, formJSON}, compares: true, inherits: true, run: func(r *run) error {
			var t, old config.Tree
			var history []commit.Revision
			err := r.backend.Manage(func(db *commit.DB) (err error) {
				t, history = db.Running(), db.History()
				old, err = db.Rollback(r.pipe.against)
				return err
			})
			if err != nil {
				return err
			}
			if r.pipe.compare {
				return r.write(appendCompare(nil, old, t, st.path))
			}
			return show(r, t, nil, st, lastCommit(history))
		},
	}, nil
}

func date(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") }

func leaveShell(r *run) error {
	r.done = true
	return nil
}

func helpCommand(r *run) error {
	p, err := r.complete("")
	if err == nil {
		writeRows(r.w, p.candidates(), false)
	}
	return err
}

func parseLabNode(p *parser) (action, error) {
	lab := p.shell.backend.Lab()
	var rows []row
	for _, n := range lab.Nodes() {
		rows = append(rows, row{name: n, help: "Node of the lab", marker: ' '})
	}
	t, err := p.value(rows...)
	if err == nil {
		err = p.end()
	}
	return action{run: func(r *run) error {
		b, ok := lab.Node(t.text)
		if !ok {
			return fmt.Errorf("no node '%s' in this lab; there are: %s", t.text, strings.Join(lab.Nodes(), ", "))
		}
		r.backend = b
		return nil
	}}, err
}

// readText reads the text of a load: the client's file, or what is typed.
func (s *Shell) readText(name string) ([]byte, error) {
	if name != "terminal" {
		if s.cfg.Files == nil {
			return nil, fmt.Errorf("%s: this session has no files; use 'terminal' and send the text", name)
		}
		f, err := s.cfg.Files.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readBounded(f)
	}
	if s.term == nil {
		return readBounded(s.input().r)
	}
	_, _ = io.WriteString(s.term, "[Type ^D at a new line to end input]\n")
	var text []byte
	long := false
	for {
		line, err := s.term.ask("")
		switch {
		case errors.Is(err, io.EOF) && long:
			return nil, errTooLong
		case errors.Is(err, io.EOF):
			return text, nil
		case err != nil:
			return nil, err
		}
		if text = append(append(text, line...), '\n'); len(text) > maxText {
			text, long = nil, true // the rest is read all the same: it is no commands
		}
	}
}

// maxText is the largest text that is loaded, in octets: more than twice the largest configuration that was measured, in the
// longest of its forms. What is made of a text takes up to thirty times its memory if it consists of nothing but short names.
const maxText = 128 << 20

var errTooLong = fmt.Errorf("more than %d octets of configuration at once; load it in parts", maxText)

func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = errTooLong
	}
	return text, err
}
