package config

import "fmt"

func limitError(p Path, s *Schema) *Error {
	return &Error{At: p, Path: p.Edit(), Element: s.name, Tag: "too-many-elements", Message: fmt.Sprintf("number of elements exceeds limit of %d", s.max)}
}
