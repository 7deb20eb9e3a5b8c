package config

import (
	"fmt"
	"reflect"
	"strconv"
	"sync"

	"github.com/openconfig/ygot/ygot"

	"gvpn/gen"
)

// Bind fills dst, a pointer to the struct of package gen for n's schema node, from what is set in n: containers and
// entries that are there, leaves that are set (no defaults), lists in their order. A secret leaf comes obfuscated. What
// dst had before is lost. It fails if dst is not the struct of that node.
func Bind(n Node, dst any) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: bind to %T: want a pointer to a struct of package gen", dst)
	}
	plans := bindings()
	pl := plans[v.Elem().Type()]
	if pl == nil {
		return fmt.Errorf("config: bind to %T: no struct of package gen", dst)
	}
	if n.s == nil {
		return fmt.Errorf("config: bind %T: the node is absent", dst)
	}
	if pl.schema != n.s {
		return fmt.Errorf("config: bind %T: it is for %q, and the node is %q", dst, pl.schema.Path(), n.s.Path())
	}
	v.Elem().SetZero()
	return pl.fill(n, v.Elem(), plans)
}

// binding is how one struct is filled.
type binding struct {
	schema *Schema
	fields []fieldBinding
}

type fieldBinding struct {
	index  int
	schema *Schema
	inner  reflect.Type             // struct of a container, or of an entry
	words  map[string]reflect.Value // of an enumeration, or of a union of enumerations
}

// bindings walks the generated structs once, beside the schema.
var bindings = sync.OnceValue(func() map[reflect.Type]*binding {
	plans := map[reflect.Type]*binding{}
	f, _ := reflect.TypeFor[gen.Device]().FieldByName("Configuration")
	if err := plan(plans, f.Type.Elem(), Root()); err != nil {
		panic(err) // gen is made from the same modules; a test binds every node
	}
	return plans
})

func plan(plans map[reflect.Type]*binding, t reflect.Type, s *Schema) error {
	b := &binding{schema: s}
	plans[t] = b
	for i := range t.NumField() {
		f := t.Field(i)
		c := s.byName[f.Tag.Get("path")]
		if c == nil {
			return fmt.Errorf("config: struct %s: no schema node for field %s", t.Name(), f.Name)
		}
		fb := fieldBinding{index: i, schema: c}
		leaf := f.Type
		switch {
		case c.isContainer():
			fb.inner = f.Type.Elem()
		case c.kind == List:
			m, ok := f.Type.MethodByName("Append")
			if !ok || m.Type.NumIn() != 2 {
				return fmt.Errorf("config: struct %s: field %s is no ordered map", t.Name(), f.Name)
			}
			fb.inner = m.Type.In(1).Elem()
		case c.kind == LeafList:
			leaf = f.Type.Elem()
		}
		if fb.inner != nil {
			if err := plan(plans, fb.inner, c); err != nil {
				return err
			}
		} else {
			for _, e := range enumsOf(leaf) {
				if fb.words == nil {
					fb.words = map[string]reflect.Value{}
				}
				t := reflect.TypeOf(e)
				for v, d := range e.ΛMap()[t.Name()] {
					fb.words[d.Name] = reflect.ValueOf(v).Convert(t)
				}
			}
		}
		if leaf.Kind() == reflect.Interface && len(fb.words) != len(c.Enums()) {
			return fmt.Errorf("config: struct %s: of the words of field %s only %d are known: unionEnums must have its enumerations", t.Name(), f.Name, len(fb.words))
		}
		b.fields = append(b.fields, fb)
	}
	return nil
}

// unionEnums are the enumerations that stand in unions: reflection finds no types from the interface that they implement.
var unionEnums = []ygot.GoEnum{
	gen.E_GvpnConfSecurity_DhGroup_Enum(0), gen.E_GvpnConfSecurity_MemberDhGroup_Enum(0), gen.E_GvpnConfSecurity_ExtensionDhGroup_Enum(0),
	gen.E_GvpnConfSecurity_Sha_2_Enum(0), gen.E_GvpnConfSecurity_MemberHash_Enum(0), gen.E_GvpnConfSecurity_ExtensionHash_Enum(0),
	gen.E_GvpnConfSecurity_AesCbc_Enum(0), gen.E_GvpnConfSecurity_ExtensionEspCipher_Enum(0),
	gen.E_GvpnConfRoot_Configuration_Security_GroupVpn_Server_Ike_Proposal_AuthenticationMethod(0),
	gen.E_GvpnConfSecurity_MemberAuthenticationMethod_Enum(0), gen.E_GvpnConfSecurity_ExtensionAuthenticationMethod_Enum(0),
	gen.E_GvpnConfRoot_Configuration_Security_GroupVpn_Server_Group_ServerMemberCommunication_CommunicationType(0),
	gen.E_GvpnConfSecurity_ExtensionCommunicationType_Enum(0),
}

// enumsOf returns the enumerations whose values a field of type t takes.
func enumsOf(t reflect.Type) (enums []ygot.GoEnum) {
	if t.Kind() == reflect.Interface {
		for _, e := range unionEnums {
			if reflect.TypeOf(e).Implements(t) {
				enums = append(enums, e)
			}
		}
	} else if e, ok := reflect.Zero(t).Interface().(ygot.GoEnum); ok {
		enums = append(enums, e)
	}
	return enums
}

func (b *binding) fill(n Node, v reflect.Value, plans map[reflect.Type]*binding) error {
	for _, f := range b.fields {
		field := v.Field(f.index)
		if f.schema.kind == List {
			_, l := n.list(f.schema.name)
			if l == nil {
				continue
			}
			m := reflect.New(field.Type().Elem())
			add := m.MethodByName("Append")
			for e := range n.entries(f.schema, l) {
				s := reflect.New(f.inner)
				if err := plans[f.inner].fill(e, s.Elem(), plans); err != nil {
					return err
				}
				if err, _ := add.Call([]reflect.Value{s})[0].Interface().(error); err != nil {
					return fmt.Errorf("config: bind %s: %w", e.Path(), err)
				}
			}
			field.Set(m)
			continue
		}
		c := n.child(f.schema, &n)
		if c.s == nil {
			continue
		}
		switch {
		case f.inner != nil:
			s := reflect.New(f.inner)
			if err := plans[f.inner].fill(c, s.Elem(), plans); err != nil {
				return err
			}
			field.Set(s)
		case f.schema.kind == Empty:
			field.SetBool(true)
		case f.schema.kind == LeafList:
			for _, val := range c.Values() {
				e := reflect.New(field.Type().Elem()).Elem()
				if err := f.set(e, val); err != nil {
					return err
				}
				field.Set(reflect.Append(field, e))
			}
		default:
			if field.Kind() == reflect.Pointer {
				p := reflect.New(field.Type().Elem())
				if err := f.set(p.Elem(), c.val); err != nil {
					return err
				}
				field.Set(p)
			} else if err := f.set(field, c.val); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fieldBinding) set(v reflect.Value, val string) error {
	if f.words != nil {
		v.Set(f.words[val])
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(val)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(val, 10, 64)
		if err != nil {
			return fmt.Errorf("config: bind %s: %w", f.schema.Path(), err)
		}
		v.SetUint(n)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(val, 10, 64)
		if err != nil {
			return fmt.Errorf("config: bind %s: %w", f.schema.Path(), err)
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("config: bind %s: a Go field of type %s is not supported", f.schema.Path(), v.Type())
	}
	return nil
}
