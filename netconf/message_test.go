package netconf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestConfigurationKeepsItsNamespaces(t *testing.T) {
	root, err := parseMessage([]byte(`<?xml version="1.0"?>
<nc:rpc xmlns:nc="urn:nc" xmlns="urn:outer" message-id="1">
 <edit-config xmlns:x="urn:x&amp;y"><target><candidate/></target>
  <nc:config xmlns="urn:inner"> <a y="&quot;" xmlns:x="urn:own" ><nc:b nc:operation="delete">1 &lt; 2</nc:b><!-- remark --></a> </nc:config></edit-config></nc:rpc>`))
	if err != nil {
		t.Fatal(err)
	}
	got := string(root.child("edit-config").child("config").config)
	const want = `<a xmlns="urn:inner" xmlns:nc="urn:nc" y="&#34;" xmlns:x="urn:own"><nc:b nc:operation="delete">1 &lt; 2</nc:b><!-- remark --></a>`
	if got != want {
		t.Errorf("config:\n%s\nwant:\n%s", got, want)
	}
}

func TestMalformedMessages(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "without an element",
		"<a>":              "ends within an element",
		"<a></b>":          "is ended by",
		"<a/><b/>":         "a second element",
		"</a>":             "without its start",
		"text<a/>":         "text outside",
		"<a>&unknown;</a>": "entity",
		"<a b=c/>":         "unquoted",
		"<!DOCTYPE a><a/>": "document type",
		"<?php ?><a/>":     "processing instruction",
		"<edit-config><config><a></config></edit-config>":      "is ended by",
		"<edit-config><config><a/><b/></config></edit-config>": "a second element <b> in <config>",
		"<edit-config><config>text</config></edit-config>":     "text in <config>",
		"<edit-config><config><a>":                             "ends within an element",
		"<edit-config><config>" + strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth) + "</config></edit-config>": "nested deeper",
		"<a>\xff</a>": "UTF-8",
		`<?xml version="1.0" encoding="utf-16"?><a/>`: "encoding",
	} {
		if _, err := parseMessage([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want an error with %q", in, err, want)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(`<rpc message-id="1" xmlns="urn:a"><edit-config><target><candidate/></target><config xmlns:b="urn:b"><b:x b:operation="delete"/></config></edit-config></rpc>`))
	f.Add([]byte(`<rpc message-id="1"><get-config><source><running/></source><filter type="subtree"><configuration><system/></configuration></filter></get-config></rpc>`))
	f.Add([]byte(`<?xml version="1.0" encoding="UTF-8"?><hello><capabilities><capability>urn:x</capability></capabilities></hello>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		root, err := parseMessage(in)
		if err != nil {
			return
		}
		var elements int
		var visit func(e *element, depth int)
		visit = func(e *element, depth int) {
			if elements++; depth > maxDepth || elements > maxElements {
				t.Fatalf("%d elements, depth %d", elements, depth)
			}
			if e.config != nil {
				wellFormed(t, e.config)
			}
			for _, c := range e.children {
				visit(c, depth+1)
			}
		}
		visit(root, 1)
		// Whatever was asked, what carries the request's attributes is well-formed.
		wellFormed(t, reply(root, nil))
	})
}

func wellFormed(t *testing.T, doc []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		_, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
	}
}

// Whatever a client asks, the answer is one well-formed message.
func FuzzAnswer(f *testing.F) {
	rpc := func(op string) []byte { return []byte(`<rpc message-id="1">` + op + `</rpc>`) }
	f.Add(rpc(`<edit-config><target><candidate/></target><config><configuration><system><host-name>a</host-name></system></configuration></config></edit-config>`))
	f.Add(rpc(`<get-config><source><candidate/></source><filter><configuration><system><login><user><name>mary</name><class/></user></login></system></configuration></filter></get-config>`))
	f.Add(rpc(`<validate><source><config><configuration/></config></source></validate>`))
	f.Add(rpc(`<lock><target><candidate/></target></lock>`))
	f.Add(rpc(`<kill-session><session-id>2</session-id></kill-session>`))
	f.Add([]byte(`<rpc xmlns:a="urn:a" a:b="&lt;&#x1;"><commit/></rpc>`))
	n := newNode(f, "set system host-name one\nset system login user mary class super-user\n")
	f.Fuzz(func(t *testing.T, in []byte) {
		request, err := parseMessage(in)
		if err != nil {
			return
		}
		x := &session{server: New(n), identity: root, end: func() {}}
		x.server.enter(x)
		defer x.server.leave(x)
		body, err := x.answer(request)
		if err != nil && !errors.Is(err, errEnd) {
			body = appendFaults(nil, faultsOf(err))
		}
		wellFormed(t, reply(request, body))
	})
}
