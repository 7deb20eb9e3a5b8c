// Package yang holds the YANG 1.1 modules that define the configuration, and embeds their texts.
//
// gvpn-conf-root has the one top container, configuration. The other gvpn-conf modules augment it with the hierarchies that
// they are named for: security and system whole, as far as a group VPN needs them; the rest (interfaces, services, firewall,
// policy-options, routing-instances, applications) because those refer to it. What Junos has there and gvpn does not do is
// refused by name: at commit by a must, where the rest of a rule needs the node; else when it is typed, by its name in a
// gx:unsupported statement of the node above. A must that only warns is for what does no harm. gvpn-extensions augments
// what Junos has not. gvpn-types and gvpn-ext are vocabulary: types, and the extensions that carry command-line hints and error
// texts. ietf-yang-metadata is the part of RFC 7952 that gvpn-ext needs.
//
// Only what plain YANG says is needed to check a configuration; a must looks an entry of another hierarchy up by its keys
// where a leafref cannot, as interface and unit of ge-0/0/0.0.
//
// It is texts only: package config compiles them into a schema, package gen is Go generated from them.
package yang
