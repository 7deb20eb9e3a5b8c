package cli

import (
	"fmt"

	"gvpn/commit"
	"gvpn/oper"
)

// commitInformation is the reply to `show system commit`.
type commitInformation struct {
	Pending []pendingCommit   `xml:"commit-pending,omitempty"`
	History []committedChange `xml:"commit-history,omitempty"`

	detail bool
}

// pendingCommit is a commit that waits for its time.
type pendingCommit struct {
	User     string `xml:"user"`
	Client   string `xml:"client"`
	Remote   string `xml:"remote-address,omitempty"` // ours
	DateTime string `xml:"date-time"`
	Comment  string `xml:"comment,omitempty"`
}

// committedChange is one that rollback reaches.
type committedChange struct {
	Number   int    `xml:"sequence-number"`
	User     string `xml:"user"`
	Client   string `xml:"client"`
	Remote   string `xml:"remote-address,omitempty"` // ours
	DateTime string `xml:"date-time"`
	Comment  string `xml:"comment,omitempty"`

	text string // its line, as Junos has it
}

func (commitInformation) Root() string { return "commit-information" }

func (c commitInformation) AppendText(dst []byte) []byte {
	below := func(remote, comment string) {
		if c.detail && remote != "" {
			dst = fmt.Appendf(dst, "    from %s\n", remote)
		}
		if comment != "" {
			dst = fmt.Appendf(dst, "    %s\n", comment)
		}
	}
	for _, p := range c.Pending {
		dst = fmt.Appendf(dst, "commit requested by %s via %s at %s\n", p.User, p.Client, p.DateTime)
		below(p.Remote, p.Comment)
	}
	for _, h := range c.History {
		dst = fmt.Appendf(dst, "%-3d %s\n", h.Number, h.text)
		below(h.Remote, h.Comment)
	}
	return dst
}

// parseShowCommits reads show system commit [detail].
func parseShowCommits(p *parser) (action, error) {
	detail := false
	p.mayEnd()
	if !p.atEnd() {
		if _, err := p.keyword(notExpected, row{name: "detail", help: "Also where commits came from"}); err != nil {
			return action{}, err
		}
		detail = true
	}
	return action{forms: []form{formXML, formJSON}, run: func(r *run) error {
		c, err := commits(r.backend)
		c.detail = detail
		if err != nil {
			return err
		}
		return r.answer(c)
	}}, p.end()
}

func commits(b Backend) (c commitInformation, err error) {
	var history []commit.Revision
	var waits *commit.Scheduled
	err = b.Manage(func(db *commit.DB) error {
		history, waits = db.History(), db.Scheduled()
		return nil
	})
	if waits != nil {
		c.Pending = []pendingCommit{{waits.User, waits.Client, waits.Remote, date(waits.At), waits.Comment}}
	}
	for i, v := range history {
		c.History = append(c.History, committedChange{i, v.User, v.Client, v.Remote, date(v.Time), v.Comment, committed(v)})
	}
	return c, err
}

// committed is when a revision was committed, by whom and how.
func committed(v commit.Revision) string {
	text := fmt.Sprintf("%s by %s via %s", date(v.Time), v.User, v.Client)
	if v.Within != 0 {
		text += fmt.Sprintf(" commit confirmed, rollback in %dmins", commit.Minutes(v.Within))
	}
	return text
}

// answer shows a reply in the form that was asked for.
func (r *run) answer(a oper.Reply) error {
	switch r.pipe.form {
	case formXML:
		return r.write(inReply(func(dst []byte) []byte { return oper.AppendXML(dst, a, 1, "") }))
	case formJSON:
		return r.write(oper.AppendJSON(nil, a))
	}
	return r.write(a.AppendText(nil))
}
