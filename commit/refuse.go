package commit

import (
	"errors"
	"strings"

	"gvpn/config"
)

// prepareErrors are the reasons of several appliers.
type prepareErrors []error

func (e prepareErrors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look into each.
func (e prepareErrors) Unwrap() []error { return e }

// refusal words what stopped a commit as config.Errors, the one error type that front ends know: an error for every reason. tag
// is that of RFC 6241 appendix A for reasons that bring none.
func refusal(tag string, err error) config.Errors {
	var many prepareErrors
	var list config.Errors
	var one *config.Error
	switch {
	case errors.As(err, &many):
		for _, e := range many {
			list = append(list, refusal(tag, e)...)
		}
		return list
	case errors.As(err, &list):
		return list
	case errors.As(err, &one):
		return config.Errors{one}
	}
	return config.Errors{{Path: config.Path(nil).Edit(), Tag: tag, Message: err.Error()}}
}
