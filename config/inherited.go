package config

import "strings"

// Origins tells for the statements of a Tree that Inherited made from which group they were inherited. The zero value knows of
// none.
type Origins struct {
	groups map[origin]string
	// Brief: one remark before a statement instead of three.
	Brief bool
}

// Inherited returns t with all that its groups bring written out, without the groups, and with where it came from. Unlike in
// Effective, what is inactive is still there.
func (t Tree) Inherited() (Tree, Origins) {
	x := expansion{o: &owner{}, wilds: map[*list][]wildEntry{}, groups: t.groups(), origins: map[origin]string{}, limit: maxInherited}
	return Tree{x.inner(Root(), before{}, t.root, nil)}, Origins{groups: x.origins}
}

// inheritedEntry appends the remarks about the entry with the key of a list.
func (p *curlyPrinter) inheritedEntry(c *Schema, holder *node, key string, level int) {
	if group, ok := p.origins.groups[origin{holder, 0, key}]; ok {
		p.inherited(strings.Join(splitKeys(c, key), " "), group, level)
	}
}

// inheritedNode appends the remarks about n, which is printed without what it is in.
func (p *curlyPrinter) inheritedNode(n Node, level int) {
	if n.up == nil || p.origins.groups == nil {
		return
	}
	switch k := n.up.n.find(n.s); {
	case k == nil:
	case n.s.kind == List:
		p.inheritedEntry(n.s, k.node, n.val, level)
	default:
		p.inheritedKid(n.up.n, n.s, k, level)
	}
}

// inheritedKid appends the remarks about child c of n and, if that is shown on one line, about what is in it.
func (p *curlyPrinter) inheritedKid(n *node, c *Schema, k *kid, level int) {
	if c.kind == LeafList {
		k.node.list.byLabel.all(func(_ uint64, v string) bool {
			if group, ok := p.origins.groups[origin{k.node, 0, v}]; ok {
				p.inherited(v, group, level)
			}
			return true
		})
		return
	}
	if group, ok := p.origins.groups[origin{n, k.id, ""}]; ok {
		what := c.word
		if c.kind == Leaf && !c.secret {
			what = k.val
		}
		p.inherited(what, group, level)
	}
	if c.isContainer() && oneLine(c, k.node) {
		for i := range k.node.kids {
			in := &k.node.kids[i]
			p.inheritedKid(k.node, c.children[in.id], in, level)
		}
	}
}

// inherited appends the remarks about a value or statement that came from a group.
func (p *curlyPrinter) inherited(what, group string, level int) {
	line := func(text string) {
		p.indent(level)
		p.dst = append(append(append(p.dst, "##"...), text...), '\n')
	}
	if !p.origins.Brief {
		line("")
	}
	line(" '" + strings.ReplaceAll(what, "\n", `\n`) + "' was inherited from group '" + group + "'")
	if !p.origins.Brief {
		line("")
	}
}
