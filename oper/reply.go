package oper

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Reply is an operational reply: a struct, or a slice of structs for one root element each. Fields that are shown in XML and JSON
// carry an `xml:"NAME"` tag, with ",omitempty" where a zero value means that there is nothing to say.
type Reply interface {
	// Root is the name of the reply's root element.
	Root() string
	// AppendText appends the reply in Junos's text layout, each line ended by a line feed.
	AppendText(dst []byte) []byte
}

// AppendXML appends the reply's root element or elements, indented from the given level by four blanks a level. attributes, with a
// blank before them, go into the start tags of these.
func AppendXML(dst []byte, r Reply, level int, attributes string) []byte {
	v := reflect.ValueOf(r)
	if v.Kind() == reflect.Slice {
		if v.Len() == 0 {
			return append(indent(dst, level), "<"+r.Root()+attributes+"/>\n"...)
		}
		for i := range v.Len() {
			dst = appendElement(dst, r.Root(), attributes, v.Index(i), level)
		}
		return dst
	}
	return appendElement(dst, r.Root(), attributes, v, level)
}

func indent(dst []byte, level int) []byte {
	return append(dst, strings.Repeat("    ", level)...)
}

func appendElement(dst []byte, name, attributes string, v reflect.Value, level int) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		return appendElement(dst, name, attributes, v.Elem(), level)
	case reflect.Slice:
		for i := range v.Len() {
			dst = appendElement(dst, name, attributes, v.Index(i), level)
		}
		return dst
	case reflect.Struct:
		dst = append(indent(dst, level), "<"+name+attributes+">\n"...)
		for f := range fields(v) {
			dst = appendElement(dst, f.name, "", f.value, level+1)
		}
		return append(indent(dst, level), "</"+name+">\n"...)
	}
	var text bytes.Buffer
	_ = xml.EscapeText(&text, []byte(leaf(v))) // a bytes.Buffer does not fail
	return append(indent(dst, level), "<"+name+attributes+">"+text.String()+"</"+name+">\n"...)
}

// AppendJSON appends an object whose one member is the reply's root: an array, since a root may come several times. The style is
// that of Junos's configuration JSON: four blanks a level and " : ".
func AppendJSON(dst []byte, r Reply) []byte {
	v := reflect.ValueOf(r)
	dst = append(dst, "{\n    "+strconv.Quote(r.Root())+" : "...)
	if v.Kind() == reflect.Slice {
		dst = appendValue(dst, v, 1)
	} else {
		dst = append(dst, "[\n        "...)
		dst = appendValue(dst, v, 2)
		dst = append(dst, "\n    ]"...)
	}
	return append(dst, "\n}\n"...)
}

func appendValue(dst []byte, v reflect.Value, level int) []byte {
	list := func(open, close string, n int, each func(i int)) {
		if n == 0 {
			dst = append(dst, open+close...)
			return
		}
		dst = append(dst, open...)
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = indent(append(dst, '\n'), level+1)
			each(i)
		}
		dst = append(indent(append(dst, '\n'), level), close...)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return appendValue(dst, v.Elem(), level)
	case reflect.Slice:
		list("[", "]", v.Len(), func(i int) { dst = appendValue(dst, v.Index(i), level+1) })
	case reflect.Struct:
		var all []field
		for f := range fields(v) {
			all = append(all, f)
		}
		list("{", "}", len(all), func(i int) {
			dst = append(dst, strconv.Quote(all[i].name)+" : "...)
			dst = appendValue(dst, all[i].value, level+1)
		})
	case reflect.String:
		dst = append(dst, jsonString(v.String())...)
	default:
		dst = append(dst, leaf(v)...)
	}
	return dst
}

// jsonString quotes for JSON (RFC 8259 section 7). The replies' strings are ours, from configuration or printed from octets;
// octets that are no UTF-8 become U+FFFD.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

type field struct {
	name  string
	value reflect.Value
}

// fields yields the tagged fields of a struct that have something to say, those of embedded structs in their place.
func fields(v reflect.Value) func(yield func(field) bool) {
	return func(yield func(field) bool) {
		t := v.Type()
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous && f.Type.Kind() == reflect.Struct {
				for inner := range fields(v.Field(i)) {
					if !yield(inner) {
						return
					}
				}
				continue
			}
			name, option, _ := strings.Cut(f.Tag.Get("xml"), ",")
			fv := v.Field(i)
			empty := fv.Kind() == reflect.Pointer && fv.IsNil() || fv.Kind() == reflect.Slice && fv.Len() == 0 || option == "omitempty" && fv.IsZero()
			if name == "" || empty {
				continue
			}
			if !yield(field{name, fv}) {
				return
			}
		}
	}
}

func leaf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.String:
		return v.String()
	}
	panic("oper: reply with a leaf of type " + v.Type().String()) // a mistake in this package, found by its tests
}
