// Package config is the configuration: a schema compiled from the YANG modules of package yang, an immutable tree that
// it types, and the tree's spellings.
//
// A Tree is a value. An edit (Set, Delete, Rename, Copy, ReplacePattern and the like, LoadSet, LoadCurly, LoadXML,
// LoadJSON, LoadPatch) gives a new Tree that shares all it did not change with the old one; the old one stays as it was,
// whether or not the edit succeeds. So a snapshot is a copy of the Tree value, and rollback is keeping one. Lists and
// leaf-lists are persistent B+trees, by name and by order.
//
// Spellings are set lines, curly text, XML (NETCONF and Junos) and JSON (RFC 7951 with the metadata of RFC 7952); each is
// read by a Load method and written by an Append function, and each writes what the others read. Secrets are written
// obfuscated ($9$) everywhere.
//
// A text that is wrong changes nothing. It gives its first hundred errors, each with its place, and one that counts the others;
// warnings apart. Reading takes time that follows the length of the text, and at most thirty times its memory; a statement has at
// most 131072 words, a leaf-list 65536 values, and a value or remark 65536 octets. In set and curly text a statement may stand
// twice, as in Junos: the last value of a leaf counts. In XML and JSON that is an error.
//
// What is marked protected stays as it is: an edit leaves out what would change it, and says so in a warning. Only what
// puts something else in the place of everything (Override, Update, OpReplace) minds no mark. The mark does not change
// what a configuration means. See protect.go.
//
// Effective is what a tree means: configuration groups are inherited where they are applied, inactive parts left out
// (effective.go, groups.go). Validate holds a tree against every constraint of the modules.
// Bind fills a generated struct of package gen from a node. DiffEntries, Moved and Same compare trees at the cost of
// their difference.
//
// It is not a datastore: candidates, locks, history and commit are in package commit. It does no input or output, and
// holds no state but the schema, which is made once.
//
// Sources: RFC 7950 (YANG), RFC 6241 section 7.2 and RFC 7950 section 7.8.6 (edit-config), RFC 7951, RFC 7952, and Junos
// for the words and for what text looks like.
package config
