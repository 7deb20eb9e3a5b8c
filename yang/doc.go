// Package yang holds the YANG 1.1 modules that define the configuration, and embeds their texts.
//
// gvpn-conf-root has the one top container, configuration. gvpn-conf-security and gvpn-conf-system augment it with
// the hierarchies of the same names as on an SRX; gvpn-extensions augments what Junos has not. gvpn-types and gvpn-ext
// are vocabulary: types, and the extensions that carry command-line hints and error texts. ietf-yang-metadata is the
// part of RFC 7952 that gvpn-ext needs.
//
// It is texts only: package config compiles them into a schema, package gen is Go generated from them.
package yang
