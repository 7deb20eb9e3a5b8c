package commit

import (
	"errors"
	"strings"

	"gvpn/commit/step"
	"gvpn/config"
)

// refusal words what stopped a commit as config.Errors, the one error type that front ends know: an error for every reason. tag
// is that of RFC 6241 appendix A for reasons that bring none.
func refusal(tag string, err error) config.Errors {
	var list config.Errors
	var one *config.Error
	var refused *step.Refusal
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, refusal(tag, e)...)
		}
		return list
	}
	switch {
	case errors.As(err, &list):
		return list
	case errors.As(err, &one):
		return config.Errors{one}
	case errors.As(err, &refused):
		return config.Errors{placed(tag, refused)}
	}
	return config.Errors{{Path: config.Path(nil).Edit(), Tag: tag, Message: err.Error()}}
}

// placed finds the statement that an engine refuses.
func placed(tag string, r *step.Refusal) *config.Error {
	at := config.Path{{Name: "security"}, {Name: "group-vpn"}}
	side := config.Elem{Name: "server"}
	if r.VPN != "" || r.Gateway != "" && r.Side == step.Member {
		side.Name = "member"
	}
	at = append(at, side)
	switch {
	case r.Gateway != "":
		at = append(at, config.Elem{Name: "ike"}, config.Elem{Name: "gateway", Keys: []string{r.Gateway}})
	case r.VPN != "":
		at = append(at, config.Elem{Name: "ipsec"}, config.Elem{Name: "vpn", Keys: []string{r.VPN}})
	default:
		at = append(at, config.Elem{Name: "group", Keys: []string{r.Group}})
	}
	node := config.Root()
	for _, e := range at {
		node = node.Child(e.Name)
	}
	for words := r.Statement; len(words) > 0; {
		e := config.Elem{Name: words[0]}
		words = words[1:]
		if node = node.Child(e.Name); node == nil {
			break
		}
		if n := len(node.Keys()); n > 0 && n <= len(words) {
			e.Keys, words = words[:n], words[n:]
		}
		at = append(at, e)
	}
	last := at[len(at)-1]
	return &config.Error{
		Path: at[:len(at)-1].Edit(), At: at[:len(at)-1], Tag: tag, Message: r.Reason,
		Element: strings.Join(append([]string{last.Name}, last.Keys...), " "),
	}
}
