package auth

// Class is a login class of `system login user NAME class`.
type Class string

// The predefined classes of Junos.
const (
	SuperUser    Class = "super-user"
	Operator     Class = "operator"
	ReadOnly     Class = "read-only"
	Unauthorized Class = "unauthorized"
)

// Permission is what a command needs.
type Permission uint8

// The permissions. Each class of Junos has more than these; the commands that exist here need no finer ones.
const (
	View      Permission = iota + 1 // show
	Clear                           // clear
	Configure                       // configure, request, everything that changes what the node does
)

// Identity is who a session acts for.
type Identity struct {
	User  string // login name
	Class Class
	// Remote is the caller's address and port; empty on the control socket.
	Remote string
}

// May reports whether the identity's class has the permission. An unknown class has none.
func (i Identity) May(p Permission) bool {
	switch i.Class {
	case SuperUser:
		return true
	case Operator:
		return p == View || p == Clear
	case ReadOnly:
		return p == View
	}
	return false
}
