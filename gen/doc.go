// Package gen is the configuration as Go structs: the typed view in which rules read a part of the tree (see
// config.Bind). It is generated from the modules of package yang by ygot; nothing in it is written by hand but this
// file. Device is the root; lists are ordered maps, leaves are pointers or enumerations, and names follow the modules.
//
// It is not the store, and does not validate, compare or print: package config does, in time that follows the change.
package gen

// The generator imports what only the schema needs that it is told to leave out, names itself by where it lies on this
// machine, and does not format.

//go:generate go tool generator -path=../yang -package_name=gen -output_file=gvpn.go -generate_fakeroot -fakeroot_name=device -generate_simple_unions -yangpresence -include_schema=false ../yang/gvpn-conf-root.yang ../yang/gvpn-conf-system.yang ../yang/gvpn-conf-security.yang ../yang/gvpn-conf-interfaces.yang ../yang/gvpn-conf-services.yang ../yang/gvpn-conf-policy-options.yang ../yang/gvpn-conf-firewall.yang ../yang/gvpn-conf-routing-instances.yang ../yang/gvpn-conf-applications.yang ../yang/gvpn-extensions.yang ../yang/gvpn-extensions-group.yang
//go:generate sed -i -e "/^.\"encoding.json\"$/d" -e "/^.\"reflect\"$/d" -e "s,/[^ ]*/github.com/,github.com/," gvpn.go
//go:generate gofmt -w gvpn.go
